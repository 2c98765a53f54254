// Opens a page in a real Chromium and has it make visits, one after the other.
// argv: {chromium, page, visits} as JSON; stdout: what came of each visit, as a JSON list.
'use strict';
const { chromium } = require('playwright-core');

const OFFLINE = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

async function main({ chromium: executablePath, page: address, visits }) {
  // Playwright gives it a profile of its own, and throws that away.
  const browser = await chromium.launch({ executablePath, headless: true, args: OFFLINE });
  try {
    const page = await browser.newPage();
    await page.goto(address);
    const results = [];
    for (const one of visits) results.push(await page.evaluate((it) => visit(it), one));
    process.stdout.write(JSON.stringify(results));
  } finally {
    await browser.close();
  }
}

main(JSON.parse(process.argv[2]));
