/** The frame of an HTML page that needs no other file. */
import { type Html, html, trusted } from "./html.ts"

export interface Page {
  readonly title: string
  /** Content-Security-Policy: what the page may load. */
  readonly policy: string
  /** CSS, trusted. */
  readonly style: string
  /** Anything else in the head. */
  readonly head?: Html
  readonly body: Html
}

export const pageOf = ({ body, head, policy, style, title }: Page): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
${head}<style>${trusted(style)}</style>
</head>
<body>
${body}
</body>
</html>
`.markup
