/**
 * What nginx itself answers when it refuses: JSON in the form of OAuth's errors (RFC 6749, 5.2), because that is what
 * MCP clients read out to their users; a page in HTML they show as a syntax error. Texts hold no quotes: they stand in
 * nginx's configuration.
 */

/** `error` and `error_description` by status. */
const texts: Readonly<Record<number, readonly [error: string, description: string]>> = {
  400: ['invalid_request', 'The request is not valid HTTP, its header fields are too large, or it came without TLS.'],
  401: [
    'access_denied',
    'The user name and password were not accepted, or are missing. Check the Authorization header (HTTP Basic) in the settings of this client.',
  ],
  404: ['not_found', 'There is nothing here. Serena is at /mcp or, if the site has it, at /sse.'],
  405: ['method_not_allowed', 'This method is not allowed here.'],
  408: ['invalid_request', 'The request took too long to arrive.'],
  411: ['invalid_request', 'The request needs a Content-Length.'],
  413: ['invalid_request', 'The request is too large: 16 MiB are the most.'],
  414: ['invalid_request', 'The address of the request is too long.'],
  421: ['invalid_request', 'This connection is for another name.'],
  429: ['too_many_requests', 'Too many requests, open connections or wrong passwords from this address. Wait and try again.'],
  500: ['server_error', 'The server failed. Try again.'],
  501: ['invalid_request', 'The server does not know this kind of transfer.'],
  503: ['temporarily_unavailable', 'The server can not check user names and passwords just now. Try again.'],
  505: ['invalid_request', 'The server does not know this version of HTTP.'],
}

const body = (error: string, description: string): string => `'${JSON.stringify({ error, error_description: description })}\\n'`

/** The addresses at which MCP clients look for OAuth after a 401, with whatever they append (RFC 8414, 9728, 7591). */
const oauthPaths = '^/((mcp|sse)/)?(\\.well-known/(oauth|openid)|(register|authorize|token|revoke|introspect|oauth2?)(/|$))'

/** For the `http` block: the texts, and which status leads to them. Servers need `refusalLocations`. */
export function refusalMaps(): string {
  return `  map $status $golden_refusal {
    default ${body(...texts[500]!)};
${Object.entries(texts)
  .map(([status, text]) => `    ${status} ${body(...text)};\n`)
  .join('')}  }
  # Seconds that golden-auth asks to wait, or a few.
  map $golden_wait $golden_after { default $golden_wait; "" 2; }
  map $status $golden_retry { default ""; 429 $golden_after; 503 $golden_after; }
  map $status $golden_challenge { default ""; 401 'Basic realm="serena-golden", charset="UTF-8"'; }
  map $https $golden_hsts { default ""; on "max-age=63072000"; }
${refusalPages('  ')}`
}

/** A block with an `error_page` of its own has to repeat these. */
export function refusalPages(indent: string): string {
  // What goes wrong before nginx knows the address can't go to a named location.
  return `${indent}error_page 400 408 414 505 /golden-refusal;
${indent}error_page 494 495 496 497 =400 /golden-refusal;
${indent}# golden-auth's "wait": nginx takes no 429 from it.
${indent}error_page 403 =429 @refusal;
${indent}# golden-auth is away: nginx calls that 500.
${indent}error_page 500 =503 @refusal;
${indent}error_page 401 404 405 411 413 421 429 501 502 503 504 @refusal;
`
}

const answer = `
      default_type application/json;
      add_header Strict-Transport-Security $golden_hsts always;
      add_header Retry-After $golden_retry always;
      add_header WWW-Authenticate $golden_challenge always;
      return 200 $golden_refusal;`

/** For each server. */
export const refusalLocations = `    location @refusal {${answer}
    }
    location = /golden-refusal {
      internal;${answer}
    }
`

export const oauthLocation = `    location ~ ${oauthPaths} {
      default_type application/json;
      return 404 ${body('access_denied', 'This server has no OAuth. It takes a user name and a password (HTTP Basic), and those of this client were not accepted, or are missing. Check the Authorization header in the settings of this client.')};
    }`

export const startingText = 'Serena is starting, or this VM is not the active one.'
/** While the other slot takes over, of what does not wait. */
export const movingText = 'The other VM is taking over.'
export const movingBody = body('temporarily_unavailable', `${movingText} Try again.`)
export const startingBody = body('temporarily_unavailable', `${startingText} Try again.`)
