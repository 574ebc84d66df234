// Opens the page of examples/web in headless Chromium and uses it: `node web.js BINARY FOLDER`, called by web.sh. The screenshots go
// into FOLDER.
'use strict';
const { spawn } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { chromium } = require('playwright-core');

const [binary, folder] = process.argv.slice(2);
const place = mkdtempSync(join(tmpdir(), 'web-'));

// Starts the service on a port of its own and returns it with its address, which it prints first.
function start() {
  const settings = readFileSync('examples/web/settings.toml', 'utf8')
    .replace(/^address = .*$/m, 'address = "127.0.0.1:0"')
    .replace(/^database = .*$/m, `database = ${JSON.stringify(join(place, 'access.db'))}`);
  writeFileSync(join(place, 'settings.toml'), settings);
  const service = spawn(binary, ['--settings', join(place, 'settings.toml')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise(resolve => service.on('exit', resolve));
  let said = '';
  return new Promise((resolve, reject) => {
    ended.then(status => reject(new Error(`the service ended with status ${status}`)));
    service.stdout.on('data', data => {
      said += data;
      const address = said.match(/^page +(\S+)$/m);
      if (address) resolve({ service, ended, address: address[1], said: () => said });
    });
  });
}

function check(holds, text) {
  if (!holds) throw new Error(text);
  console.log(`web: ${text}`);
}

const forms = [
  ['desk-light', { colorScheme: 'light', viewport: { width: 1280, height: 900 } }],
  ['desk-dark', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
  ['phone-light', { colorScheme: 'light', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
  ['phone-dark', { colorScheme: 'dark', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
];

// Waits until the page shows that the button is pressed, which is what the service has said.
const pressed = (page, button) => page.waitForSelector(`${button}[aria-pressed=true]`, { timeout: 10000 });
const drawn = page => page.$$eval('polyline', lines => lines.map(line => line.getAttribute('points')).join('|'));

async function openPage(browser, address, [name, form], faults) {
  const context = await browser.newContext(form);
  const page = await context.newPage();
  page.on('console', message => message.type() === 'error' && faults.push(`${name}: ${message.text()}`));
  page.on('pageerror', error => faults.push(`${name}: ${error}`));
  page.on('requestfailed', request => {
    // A page that is closed ends its stream of events.
    if (!request.url().endsWith('/events')) faults.push(`${name}: ${request.url()}: ${request.failure().errorText}`);
  });
  await page.goto(address);
  await page.waitForFunction(() => document.getElementById('live').textContent === 'live', null, { timeout: 10000 });
  return page;
}

// A relation of 4.5 is what WCAG asks of text.
const contrast = page => page.evaluate(() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map(n => n / 255).map(n => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('h1, h2, p, li, button, legend, .scale, footer, a')];
  return Math.min(...texts.map(text => {
    const pair = [light(getComputedStyle(text).color), light(back(text))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  }));
});

async function use(browser, address, faults) {
  const page = await openPage(browser, address, forms[0], faults);
  const before = await drawn(page);
  await page.waitForFunction(before => {
    const now = [...document.querySelectorAll('polyline')].map(line => line.getAttribute('points')).join('|');
    return now !== before;
  }, before, { timeout: 10000 });
  check(true, 'the charts move');

  for (const button of ['[data-load="4"]', '[data-load="16"]', '[data-mode=slow]', '[data-mode=failing]', '[data-mode=down]']) {
    await page.click(button);
    await pressed(page, button);
  }
  check(true, 'the buttons work by mouse');
  await page.waitForFunction(() => [...document.querySelectorAll('.strip .scale')].some(text => /open/.test(text.textContent)), null, { timeout: 15000 });
  check(true, 'the breaker opens when the upstream is down');

  // From the top, by Tab alone, to each button; Enter and Space press it.
  await page.evaluate(() => document.activeElement.blur());
  const keys = [['×1', 'Enter', '[data-load="1"]'], ['normal', 'Space', '[data-mode=normal]']];
  for (const [text, key, button] of keys) {
    for (let tabs = 0; ; tabs += 1) {
      if (tabs > 20) throw new Error(`Tab does not lead to ${text}`);
      await page.keyboard.press('Tab');
      if ((await page.evaluate(() => document.activeElement.textContent)) === text) break;
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    if (outline === 'none') throw new Error(`${text} does not show that it has the focus`);
    await page.keyboard.press(key);
    await pressed(page, button);
  }
  check(true, 'the buttons work by keyboard');
  await page.context().close();
}

async function look(browser, address, faults) {
  const pages = [];
  for (const form of forms) pages.push([form, await openPage(browser, address, form, faults)]);
  // Something to look at: overload, then an outage, then calm.
  const order = body => fetch(new URL('/control', address), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  for (const [body, seconds] of [[{ load: 16 }, 5], [{ load: 4, mode: 'slow' }, 4], [{ mode: 'down' }, 4], [{ load: 1, mode: 'normal' }, 4]]) {
    await order(body);
    await new Promise(resolve => setTimeout(resolve, seconds * 1000));
  }
  for (const [[name], page] of pages) {
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
    const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    check(content <= window, `${name}: nothing is wider than the window`);
    const least = await contrast(page);
    check(least >= 4.5, `${name}: the least contrast of a text is ${least.toFixed(1)}`);
    await page.context().close();
  }
}

async function main() {
  const { service, ended, address, said } = await start();
  const faults = [];
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    await use(browser, address, faults);
    await look(browser, address, faults);
    check(faults.length === 0, `no error in the console ${faults.join('; ')}`);
  } finally {
    await browser.close();
    service.kill('SIGINT');
  }
  const status = await ended;
  check(status === 0, `Ctrl-C ends the service with status ${status}: ${said().trim().split('\n').pop()}`);
}

main().then(() => rmSync(place, { recursive: true }), error => {
  console.error(`web: ${error.message}`);
  process.exitCode = 1;
});
