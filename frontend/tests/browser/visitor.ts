/** People at the demo's page, in a real Chromium. */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';

import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

import { until } from '../daemon';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** It is to speak to loopback and to nobody else. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** A busy machine takes its time. */
const WITHIN_MS = 60_000;

/** Build the page as `make run` does, and open a browser. */
export async function launch(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`apt-get install chromium: ${CHROMIUM} is missing`);
  const cwd = dirname(dirname(import.meta.dirname));
  execFileSync('npm', ['run', '--silent', 'demo'], {
    cwd,
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

export interface Who {
  readonly name: string;
  readonly permission?: 'edit' | 'read';
}

/** Somebody with the page open; their user ID is their name. */
export class Visitor {
  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
  ) {}

  /** Come to a song; `prepare` is called before the page is loaded. */
  static async come(
    browser: Browser,
    url: string,
    roomId: string,
    who: Who,
    prepare: (context: BrowserContext) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<Visitor> {
    const context = await browser.newContext();
    context.setDefaultTimeout(WITHIN_MS);
    await prepare(context);
    const visitor = new Visitor(context, await context.newPage());
    await visitor.comeAs(who, url, roomId);
    return visitor;
  }

  /** Come to a song in this tab, perhaps as somebody else than before. */
  async comeAs({ name, permission = 'edit' }: Who, url: string, roomId: string): Promise<void> {
    // The last of those that were added is the last that runs.
    await this.context.addInitScript(
      (person) => {
        sessionStorage.setItem('chordme.demo.person', person);
      },
      JSON.stringify({ id: name, name, permission }),
    );
    await this.page.goto(`${url}/?song=${roomId}`);
    await this.is('live');
  }

  /** What the editor shows. */
  text(): Promise<string> {
    return this.page.locator('.cm-content').evaluate((content) => {
      const lines = content.querySelectorAll('.cm-line:not(:has(.cm-placeholder))');
      return Array.from(lines, (line) => line.textContent).join('\n');
    });
  }

  /** Type at the end of the song. */
  async type(text: string): Promise<void> {
    await this.page.locator('.cm-content').focus();
    await this.page.keyboard.press('Control+End');
    await this.page.keyboard.type(text);
  }

  async press(name: string): Promise<void> {
    await this.page.getByRole('button', { name, exact: true }).click();
  }

  /** Wait until the song is in that state. */
  async is(state: 'live' | 'offline'): Promise<void> {
    await this.page.locator(`[data-testid=page][data-state=${state}]`).waitFor();
  }

  /** Wait until the daemon has all that was typed here. */
  async isSaved(): Promise<void> {
    const saved = '[data-state=live] [data-testid=progress][data-unsent="0"]';
    await this.page.locator(saved).waitFor();
  }

  async shows(text: string): Promise<void> {
    await until(async () => (await this.text()) === text, `it shows ${text}`, WITHIN_MS);
  }

  async leave(): Promise<void> {
    await this.context.close();
  }
}

/** Wait until all have the same song and the daemon has it too; what it is. */
export async function agreed(visitors: readonly Visitor[]): Promise<string> {
  let texts: string[] = [];
  await until(
    async () => {
      await Promise.all(visitors.map((visitor) => visitor.isSaved()));
      texts = await Promise.all(visitors.map((visitor) => visitor.text()));
      return new Set(texts).size === 1;
    },
    'all have one text',
    WITHIN_MS,
  );
  return texts[0] ?? '';
}
