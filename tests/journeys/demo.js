// Opens the daemon's demo in a real Chromium, as two people; stdout: what came of it, as JSON.
// argv: {chromium, url} as JSON.
'use strict';
const { chromium } = require('playwright-core');

const WITHIN_MS = 60_000;

/** A page of somebody, what it has asked for, and what it has complained of. */
async function open(browser, url) {
  const context = await browser.newContext();
  context.setDefaultTimeout(WITHIN_MS);
  const page = await context.newPage();
  const asked = [];
  const troubles = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
  });
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('requestfinished', async (request) => {
    const { responseBodySize, responseHeadersSize } = await request.sizes();
    const path = new URL(request.url()).pathname;
    asked.push({ path, bytes: responseBodySize + responseHeadersSize });
  });
  await page.goto(url);
  await saved(page);
  await page.locator('.sheet h1').waitFor();
  await page.waitForLoadState('load');
  return { page, asked, troubles };
}

const saved = (page) => page.getByTestId('progress').getByText('All saved').waitFor();
const sheet = (page, text) => page.getByTestId('sheet').getByText(text).waitFor();

async function type(page, line, text) {
  await page.locator('.cm-line', { hasText: line }).first().click();
  await page.keyboard.press('End');
  await page.keyboard.type(text);
}

async function visit({ chromium: executablePath, url }) {
  const args = ['--disable-gpu', '--disable-quic', '--no-proxy-server', '--no-first-run'];
  const browser = await chromium.launch({ executablePath, headless: true, args });
  try {
    const one = await open(browser, url);
    const firstAsked = [...one.asked];
    const two = await open(browser, url);
    await type(one.page, '{comment: Chorus again', '\n{comment: from the first}');
    await sheet(two.page, 'from the first');
    await two.page.getByRole('button', { name: 'Go offline' }).click();
    await type(two.page, '{comment: from the first}', '\n{comment: from the second}');
    await two.page.getByTestId('progress').getByText('to send').waitFor();
    await two.page.getByRole('button', { name: 'Go online' }).click();
    await sheet(one.page, 'from the second');
    await saved(two.page);
    await two.page.getByRole('textbox', { name: 'Message' }).fill('hello');
    await two.page.keyboard.press('Enter');
    await one.page.getByRole('log').getByText('hello').waitFor();
    one.asked.length = 0;
    await one.page.reload();
    await sheet(one.page, 'from the second');
    return {
      asked: firstAsked,
      askedAgain: one.asked,
      troubles: [...one.troubles, ...two.troubles],
      title: await one.page.title(),
    };
  } finally {
    await browser.close();
  }
}

visit(JSON.parse(process.argv[2])).then((result) => {
  process.stdout.write(JSON.stringify(result));
});
