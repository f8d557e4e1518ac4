/** Tokens, tickets and passwords. */
import { createHash, createHmac, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import type { State } from '../state/state.ts'
import type { User } from '../state/types.ts'
import { createCaller, type Caller } from './caller.ts'
import { ApiError } from './errors.ts'

/** Tickets are good for two hours, as PVE's. */
const ticketSeconds = 7200

export const hashSecret = (secret: string): string => createHash('sha256').update(secret).digest('hex')

export function hashPassword(password: string): string {
  const salt = randomBytes(16)
  return `${salt.toString('hex')}:${scryptSync(password, salt, 32).toString('hex')}`
}

function passwordMatches(hash: string, password: string): boolean {
  const [salt = '', sum = ''] = hash.split(':')
  return timingSafeEqual(Buffer.from(sum, 'hex'), scryptSync(password, Buffer.from(salt, 'hex'), 32))
}

const unauthorized = (reason: string): ApiError => new ApiError(401, reason, { body: false })
const now = (): number => Math.floor(Date.now() / 1000)
const usable = (user: User | undefined): user is User => user?.enable === true && (user.expire === 0 || user.expire > now())

const sign = (state: State, text: string): string => createHmac('sha256', state.access.value.ticketKey).update(text).digest('base64url')
const same = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

export interface Ticket {
  readonly username: string
  readonly ticket: string
  readonly CSRFPreventionToken: string
}

function makeTicket(state: State, username: string): Ticket {
  const stamp = now().toString(16).toUpperCase().padStart(8, '0')
  return {
    username,
    ticket: `PVE:${username}:${stamp}::${sign(state, `ticket:${username}:${stamp}`)}`,
    CSRFPreventionToken: `${stamp}:${sign(state, `csrf:${username}:${stamp}`)}`,
  }
}

/** Whose ticket this is, or nothing. */
function ticketUser(state: State, ticket: string): string | undefined {
  const [, username = '', stamp = '', signature = ''] = /^PVE:(.+):([0-9A-F]{8})::(\S+)$/.exec(ticket) ?? []
  const age = now() - Number.parseInt(stamp, 16)
  const valid = same(signature, sign(state, `ticket:${username}:${stamp}`)) && age >= -300 && age <= ticketSeconds
  return valid && usable(state.access.value.users[username]) ? username : undefined
}

function validCsrf(state: State, username: string, token: string): boolean {
  const [stamp = '', signature = ''] = token.split(':')
  return same(signature, sign(state, `csrf:${username}:${stamp}`)) && now() - Number.parseInt(stamp, 16) <= ticketSeconds
}

/** A password (or a ticket that is still good) for a ticket. @throws ApiError 401 */
export function login(state: State, username: string, password: string): Ticket {
  const user = state.access.value.users[username]
  const right =
    usable(user) &&
    ((user.passwordHash !== undefined && passwordMatches(user.passwordHash, password)) || ticketUser(state, password) === username)
  if (!right) throw new ApiError(401, 'authentication failure')
  return makeTicket(state, username)
}

/** Who sends these headers. @throws ApiError 401 without a body */
export function authenticate(
  state: State,
  headers: { authorization?: string | undefined; cookie?: string | undefined; csrf?: string | undefined },
  method: string,
): Caller {
  const token = /^PVEAPIToken=(.*)$/.exec(headers.authorization ?? '')?.[1]
  if (token !== undefined) {
    const [, userid = '', tokenid = '', secret = ''] = /^([^\s!=]+@[^\s!=]+)!([^\s=]+)=(.+)$/.exec(token) ?? []
    const user = state.access.value.users[userid]
    const known = user?.tokens[tokenid]
    const right =
      usable(user) && known !== undefined && (known.expire === 0 || known.expire > now()) && same(known.secretHash, hashSecret(secret))
    if (!right) throw unauthorized('Authentication failed!')
    return createCaller(state, userid, tokenid)
  }
  const cookie =
    /(?:^|[;\s])PVEAuthCookie=([^;\s]*)/.exec(headers.cookie ?? '')?.[1] ?? /^PVEAuthCookie=(\S+)$/.exec(headers.authorization ?? '')?.[1]
  if (cookie === undefined || cookie === '') throw unauthorized('No ticket')
  const userid = ticketUser(state, decodeURIComponent(cookie))
  if (userid === undefined) throw unauthorized('permission denied - invalid PVE ticket')
  if (method !== 'GET' && !validCsrf(state, userid, headers.csrf ?? '')) throw unauthorized('Permission denied - invalid csrf token')
  return createCaller(state, userid)
}
