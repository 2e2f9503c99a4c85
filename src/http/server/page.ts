/** The small HTML pages of the API itself. What anybody wrote is text here, whatever it looks like. */
import type { Response } from 'express';

export interface Page {
  title: string;
  lines: readonly string[];
  /** Sends a form to `action`, left out: to where the page is. */
  button?: { text: string; action?: string } | undefined;
  link?: { text: string; to: string } | undefined;
  /** Where the browser goes by itself. */
  leadsTo?: string | undefined;
}

export function sendPage(response: Response, status: number, page: Page): void {
  if (response.headersSent) return;
  response.status(status).setHeader('Content-Type', 'text/html; charset=utf-8');
  // Under `no-referrer` a browser would call its origin `null` when it sends the form.
  response.setHeader('Referrer-Policy', 'same-origin');
  response.end(htmlOf(page));
}

function htmlOf({ title, lines, button, link, leadsTo }: Page): string {
  const action = button?.action === undefined ? '' : ` action="${escaped(button.action)}"`;
  const form =
    button === undefined ? '' : `<form method="post"${action}><button>${escaped(button.text)}</button></form>`;
  const anchor = link === undefined ? '' : `<p><a href="${escaped(link.to)}">${escaped(link.text)}</a></p>`;
  const refresh = leadsTo === undefined ? '' : `\n<meta http-equiv="refresh" content="0;url=${escaped(leadsTo)}">`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">${refresh}
<title>${escaped(title)}</title>
</head>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em">
<h1>${escaped(title)}</h1>
${lines.map((line) => `<p style="white-space: pre-wrap">${escaped(line)}</p>`).join('\n')}
${form}${anchor}
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
