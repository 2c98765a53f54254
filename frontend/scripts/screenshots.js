// Takes pictures of the demo: two people on one song, on a desktop and on a phone, by day and night.
// `make screenshots` builds the page first; what it writes are docs/demo*.png.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const ROOT = join(import.meta.dirname, '../..');
const DESKTOP = { viewport: { width: 1200, height: 700 } };
const PHONE = {
  viewport: { width: 390, height: 780 },
  deviceScaleFactor: 1.5,
  isMobile: true,
  hasTouch: true,
};
const PEOPLE = [
  { id: 'cello-2', name: 'Quiet Cello', permission: 'edit' },
  { id: 'banjo-1', name: 'Sunny Banjo', permission: 'edit' },
  { id: 'fiddle-2', name: 'Velvet Fiddle', permission: 'edit' },
];

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  return port;
}

async function startDaemon() {
  const port = await freePort();
  const listen = `server.listen=tcp:${port}:interface=127.0.0.1`;
  const options = ['--nodaemon', '--pidfile=', 'chordme', '--demo'];
  const daemon = spawn(
    join(ROOT, '.venv/bin/twistd'),
    [...options, `--set=${listen}`, '--set=server.admin='],
    { cwd: ROOT, stdio: 'ignore' },
  );
  const url = `http://127.0.0.1:${port}/`;
  for (;;) {
    if (daemon.exitCode !== null) throw new Error('The daemon did not start');
    const isThere = await fetch(`${url}api/v1/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isThere) return { daemon, url };
    await sleep(100);
  }
}

/** A page on which somebody is, with the song in it. */
async function visit(browser, url, person, options) {
  const context = await browser.newContext({ ...options, locale: 'en-GB' });
  await context.addInitScript((kept) => {
    sessionStorage.setItem('chordme.demo.person', kept);
  }, JSON.stringify(person));
  const page = await context.newPage();
  await page.goto(url);
  await page.getByTestId('progress').getByText('All saved').waitFor();
  // On a phone it is there, but not shown yet.
  await page.locator('.sheet h1').waitFor({ state: 'attached' });
  await page.evaluate(() => document.fonts.ready);
  return page;
}

/** Select the words of a line, as one does with a mouse and the keyboard. */
async function select(page, line, letters) {
  await page.locator('.cm-line', { hasText: line }).click();
  await page.keyboard.press('Home');
  for (let count = 0; count < letters; count += 1) await page.keyboard.press('Shift+ArrowRight');
}

async function say(page, text) {
  await page.getByRole('textbox', { name: 'Message' }).fill(text);
  await page.keyboard.press('Enter');
}

/** Take its picture; a machine that is busy for a moment shows as a slow connection. */
async function picture(page, name) {
  await page.locator('.status[data-kind=connected]').waitFor({ timeout: 120_000 });
  await page.screenshot({ path: join(ROOT, 'docs', name) });
}

async function desktop(browser, url, colorScheme) {
  const [cello, banjo, fiddle] = await Promise.all(
    PEOPLE.map((person) => visit(browser, url, person, { ...DESKTOP, colorScheme })),
  );
  await say(banjo, 'What about a B minor before the chorus?');
  await cello.getByRole('log').getByText('B minor').waitFor();
  await say(cello, 'Try it, I will hum along');
  await fiddle.locator('.cm-line', { hasText: 'rainy shoes' }).click();
  await select(banjo, 'Half a tune', 16);
  await cello.locator('.cm-remoteCursor').nth(1).waitFor();
  await cello.locator('.cm-remoteSelection').first().waitFor();
  await picture(cello, `demo-${colorScheme}.png`);
  await Promise.all([cello, banjo, fiddle].map((page) => page.context().close()));
}

async function phone(browser, url, colorScheme) {
  const [cello, banjo] = await Promise.all([
    visit(browser, url, PEOPLE[0], { ...PHONE, colorScheme }),
    visit(browser, url, PEOPLE[1], DESKTOP),
  ]);
  await select(banjo, 'Half a tune', 16);
  await cello.locator('.cm-remoteSelection').first().waitFor({ state: 'attached' });
  if (colorScheme === 'dark') {
    await cello.getByRole('navigation').getByRole('button', { name: 'Sheet' }).click();
  }
  await picture(cello, `demo-phone-${colorScheme}.png`);
  await Promise.all([cello, banjo].map((page) => page.context().close()));
}

const { daemon, url } = await startDaemon();
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-proxy-server', '--disable-gpu', '--hide-scrollbars'],
});
try {
  for (const colorScheme of ['light', 'dark']) {
    await desktop(browser, url, colorScheme);
    await phone(browser, url, colorScheme);
  }
} finally {
  await browser.close();
  daemon.kill();
}
