/** nginx.conf of a slot. TLS follows Mozilla's intermediate recommendation (version 5.7). */
import { isIP } from 'node:net'
import type { ImageRecord } from '../contract/record.ts'
import type { Seed } from '../contract/seed.ts'
import { peerName } from '../contract/files.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { parkingDefaults } from '../../settings/parking.ts'
import { settleMs } from './handover-address.ts'
import { authSocketName, ownerFile, presentContainers } from './places.ts'
import { probeUser } from './authenticator.ts'
import { movingBody, oauthLocation, refusalLocations, refusalMaps, refusalPages, startingBody } from './refusals.ts'

const folder = '/etc/golden/nginx'

/**
 * Renders the whole file. Who asks for an unknown name gets no answer, unknown paths are 404 without a question for a
 * password (MCP clients probe OAuth addresses and must see a 404), and while Serena starts clients get 503: a 404 on
 * /mcp would tell them that their session is gone. Passwords are golden-auth's business: checking one here would stop
 * everybody else for as long as that takes.
 * @param hasPeerKey whether the seed has what the slots know each other by; those of earlier versions have not
 */
export function nginxConfiguration(seed: Seed, image: ImageRecord, hasPeerKey = true): string {
  const servers: string[] = []
  if (seed.roles.includes('serena')) servers.push(serenaServers(seed, hasPeerKey))
  else if (hasPeerKey) servers.push(closedTls(`${folder}/tls/peer`))
  if (hasPeerKey) servers.push(peerServer(seed))
  if (seed.roles.includes('logging') && seed.logging) servers.push(loggingServer(seed, seed.logging.port, image))
  return `# Rendered at boot by golden-seed.service for release ${seed.release}.
# A few are enough, also on a host with many cores: the container may have only so many processes.
worker_processes 4;
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
pid /tmp/nginx.pid;
# Its lines quote requests with their arguments; Promtail takes SSE's sessions out of them.
error_log stderr error;
# Longer than Serena's own limit of a tool call (240 s).
worker_shutdown_timeout 300s;

events {
  worker_connections 2048;
}

http {
  default_type application/octet-stream;
  server_tokens off;
  # The default holds no names longer than 46 characters.
  server_names_hash_bucket_size 128;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;

  # No arguments (SSE's hold the session), no headers but the client's name.
  log_format golden escape=json '{"time":"$time_iso8601","remote":"$remote_addr","user":"$golden_user","host":"$golden_host",'
    '"method":"$request_method","path":"$golden_path","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
    '"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_seconds":"$upstream_response_time","agent":"$http_user_agent"}';
  # What an error was for, and not the page that tells it.
  map $request_uri $golden_path { default ""; "~^(?<asked>[^?]+)" $asked; }
  # The health check of this host comes every few seconds.
  map "$remote_addr $golden_user" $golden_heard { default 1; "127.0.0.1 ${probeUser}" 0; }
  access_log /dev/stdout golden if=$golden_heard;
  # What the peer slot hands on it has asked the password for itself. Nobody else has that certificate.
  map $ssl_client_verify $golden_user { default $remote_user; SUCCESS $http_x_golden_user; }
  map $ssl_client_verify $golden_host { default $host; SUCCESS $http_x_golden_host; }

  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
  ssl_prefer_server_ciphers off;
  ssl_session_cache shared:golden:10m;
  ssl_session_timeout 1d;
  ssl_session_tickets off;

  limit_req_zone $binary_remote_addr zone=client:10m rate=20r/s;
  limit_req_status 429;
  limit_req_log_level warn;
  # Each session of a client keeps one or two open.
  limit_conn_zone $binary_remote_addr zone=open:10m;
  limit_conn_status 429;
  limit_conn_log_level warn;
  # From the connection to the last header field; the firewall counts the connections that have not got that far.
  client_header_timeout 10s;
  client_body_timeout 30s;
  reset_timedout_connection on;

${refusalMaps()}
  # On this host. It closes an idle connection later than nginx does.
  upstream golden_auth { server unix:${folder}/${authSocketName}; keepalive 16; keepalive_timeout 60s; }

  proxy_http_version 1.1;
  proxy_connect_timeout 3s;
  proxy_next_upstream off;
  client_max_body_size 16m;
  client_body_buffer_size 1m;

${scripts(seed)}
  # For this host only: health, what is going on (\`slotctl drain\` waits for it), and what is to become of it.
  server {
    listen 127.0.0.1:8099;
    access_log off;
    location = /health { return 200 "ok\\n"; }
    location = /activity { stub_status; }
    set $golden_peer "${hasPeerKey ? seed.peer : ''}";
    location = /handover { js_content gate.control; }
    location = /handover/carry { js_content gate.carry; }
${hasPeerKey ? askPeer(seed, '= /peer/owner') : ''}    location / { return 404; }
${refusalLocations}  }
${servers.join('\n')}}
`
}

/**
 * Serena's server (uvicorn) closes what was idle for 5 s. nginx has to be first, or a call meets a connection that is
 * just being closed, and nginx must not repeat a call that may have arrived.
 */
const reuse = 'keepalive 16; keepalive_timeout 2s;'

function serenaServers(seed: Seed, hasPeerKey: boolean): string {
  const { host, httpsPort } = seed.public
  const transports = seed.serena?.transports ?? []
  const at = containerNetworks(seed.containers)
  const pair = `${folder}/tls/${seed.acme === undefined ? 'public' : '$golden_certificate'}`
  const tls = `ssl_certificate ${pair}.pem;
    ssl_certificate_key ${pair}.key;`
  const locations: string[] = []
  const upstreams: string[] = []
  if (transports.includes('streamable-http')) {
    upstreams.push(`  upstream serena_mcp { server ${at.serenaMcp}:9121; ${reuse} }`)
    locations.push(keptLocations(seed, authenticated), keeperLocations(seed))
    if (hasPeerKey) locations.push(forwardLocations(seed))
  }
  if (transports.includes('sse')) {
    upstreams.push(`  upstream serena_mcp_sse { server ${at.serenaMcpSse}:9121; ${reuse} }`)
    // Without the last one nginx would send a POST to /messages elsewhere, and the client would come back with a GET.
    locations.push(...['= /sse', '= /sse/', '/messages/', '= /messages'].map(sseLocation), sseLocations)
  }
  const port = httpsPort === 443 ? '' : `:${httpsPort}`
  // An ACME server knows the site by its one public name. Who comes by an address gets the site's own certificate, as ever.
  // By its own address too: not every router leads people in the LAN to the public one. Who asks for no name, because an
  // address is none to TLS, gets the certificate; who asks for another one gets nothing.
  const names = [...new Set([host, seed.service])]
  const toHttps = (name: string, portSuffix: string): string => `
  server {
    listen 80;
    server_name ${name};
${refusalLocations}${caLocations(seed)}${name === host ? challengeLocation(seed) : ''}    location / { return 301 https://${name}${portSuffix}$request_uri; }
  }`
  return `
${upstreams.join('\n')}

  server {
    listen 80 default_server;
${refusalLocations}    location / { return 444; }
  }${names.map((name) => toHttps(name, name === host ? port : '')).join('')}
${closedTls(isIP(host) === 0 ? `${folder}/tls/public` : pair)}
  server {
    listen 443 ssl;
    server_name ${names.join(' ')};
    ${tls}
    add_header Strict-Transport-Security "max-age=63072000" always;
    access_log /dev/stdout golden if=$golden_logged;
    limit_req zone=client burst=100 nodelay;
    limit_conn open 200;

    # MCP calls that are forwarded end their connections themselves.
    location / {
      set $golden_stays ${settleMs / 2000};
      if ($golden_leaves) { rewrite ^ /golden-last last; }
      return 404;
    }
    location = /golden-last {
      internal;
      keepalive_timeout 0;
      return 404;
    }
${oauthLocation}
${locations.join('\n')}
${authLocation('serena')}
${refusalLocations}${comeAgain('@starting', startingBody)}  }
`
}

/**
 * The site's CA, with what to do with it, for the admin network. To everybody else there is nothing. Phones and Windows know
 * a CA by the type and the end of the name, and take PEM.
 */
function caLocations({ admin }: Seed): string {
  if (admin === undefined) return ''
  const location = (path: string, file: string, type: string, more = ''): string => `    location ${path} {
${admin.map((network) => `      allow ${network};\n`).join('')}      deny all;
      error_page 403 404 =404 @refusal;
      error_page 405 413 @refusal;
      root ${folder}/ca;
      types {}
      default_type ${type};
${more}      add_header X-Content-Type-Options nosniff always;
      try_files /${file} =404;
    }
`
  const page = `      add_header Content-Security-Policy "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'" always;\n`
  return (
    location('~ ^/ca/?$', 'index.html', '"text/html; charset=utf-8"', page) +
    location('= /ca.crt', 'ca.pem', 'application/x-x509-ca-cert') +
    location('= /ca.pem', 'ca.pem', 'application/x-pem-file')
  )
}

/** What an ACME server looks for (HTTP-01). It is lego's folder, and lego's alone: nginx follows no link out of it. */
const challengeLocation = ({ acme }: Seed): string =>
  acme === undefined || acme.dns !== undefined
    ? ''
    : `    location ^~ /.well-known/acme-challenge/ {
      root ${folder}/acme;
      disable_symlinks on from=${folder}/acme;
      error_page 403 404 =404 @refusal;
      types {}
      default_type text/plain;
    }
`

/** Who asks for no name gets a certificate and no answer; who asks for a wrong one not even that. */
const closedTls = (pair: string): string => `  server {
    listen 443 ssl default_server;
    ssl_certificate ${pair}.pem;
    ssl_certificate_key ${pair}.key;
${refusalLocations}    location / { return 444; }
  }
  server {
    listen 443 ssl;
    server_name ~.;
    ssl_reject_handshake on;
    location / { return 444; }
  }`

/** Those who are told so do come again: the service address may be the other slot's by then. */
const comeAgain = (location: string, body: string): string => `    location ${location} {
      internal;
      default_type application/json;
      keepalive_timeout 0;
      add_header Retry-After 2 always;
      add_header Strict-Transport-Security $golden_hsts always;
      return 503 ${body};
    }
`

/**
 * What the other slot of the group asks, and nobody else: whose data disk this is, and the MCP calls that it hands on while
 * the service address is still its own. It has asked for the password and kept the limits; a crowd that waited there comes
 * at once.
 */
function peerServer(seed: Seed): string {
  const hasMcp = seed.roles.includes('serena') && seed.serena?.transports.includes('streamable-http')
  return `
  server {
    listen 443 ssl;
    server_name ${peerName};
    ssl_certificate ${folder}/tls/peer.pem;
    ssl_certificate_key ${folder}/tls/peer.key;
    ssl_verify_client on;
    ssl_client_certificate ${folder}/tls/peer.pem;
    set_real_ip_from ${seed.peer};
    real_ip_header X-Golden-Client;
    if ($realip_remote_addr != ${seed.peer}) { return 444; }
    access_log /dev/stdout golden if=$golden_logged;

    location = /golden/owner {
      access_log off;
      default_type application/json;
      root ${folder};
      try_files /${ownerFile.slice(ownerFile.lastIndexOf('/') + 1)} @nobody;
    }
    location @nobody {
      access_log off;
      default_type application/json;
      return 200 "{}\\n";
    }
${seed.acme === undefined ? '' : pairLocation}    location / { return 404; }
${hasMcp ? `${keptLocations(seed, '')}${keeperLocations(seed)}${comeAgain('@starting', startingBody)}` : ''}${refusalLocations}  }
`
}

/** The certificate of an ACME server with its key: the slot that has it gives it to the one that is to take over. */
const pairLocation = `    location = /golden/certificate {
      access_log off;
      default_type application/json;
      root ${folder};
      try_files /pair.json =404;
    }
`

/** The other end of `peerServer`: by the slot's own address, which is all that the peer lets in. */
const toPeer = (seed: Seed): string => `      proxy_bind ${seed.address};
      proxy_ssl_name ${peerName};
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate ${folder}/tls/peer.pem;
      proxy_ssl_certificate ${folder}/tls/peer.pem;
      proxy_ssl_certificate_key ${folder}/tls/peer.key;
      proxy_set_header Host ${peerName};
      proxy_set_header Connection close;
      proxy_set_header Authorization "";`

const askPeer = (seed: Seed, location: string): string => `    location ${location} {
      # Each look at a peer that is not there would be a line.
      error_log stderr crit;
      proxy_pass https://${seed.peer}:443/golden/owner;
${toPeer(seed)}
      proxy_method GET;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_connect_timeout 1s;
      proxy_read_timeout 2s;
    }
`

/** Asks golden-auth. Comes after the limits and before anything of the body is read. */
const authenticated = `auth_request /golden-auth;
      auth_request_set $golden_wait $upstream_http_retry_after;`

const authLocation = (realm: 'serena' | 'loki'): string => `    location = /golden-auth {
      internal;
      proxy_pass http://golden_auth/${realm};
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
      proxy_set_header Authorization $http_authorization;
      proxy_set_header X-Golden-Address $remote_addr;
      proxy_read_timeout 60s;
      # No page: what it says would be kept for the request that asks.
      error_page 599 @refusal;
    }`

const toSerena = `      proxy_set_header Host $golden_host;
      proxy_set_header Connection "";
      # The password is golden-auth's business.
      proxy_set_header Authorization "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_buffering off;
      proxy_cache off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;`

/** Whatever is counted while it runs (images/nginx/gate.ts), by a number of its own: njs would see another one at each look. */
const counted = `set $golden_call $request_id;
      set $golden_kind "";`

const sseLocation = (path: string): string => `    location ${path} {
      ${authenticated}
      ${counted}
      js_content gate.sse;
${refusalPages('      ')}    }`

const sseTarget = `      rewrite ^/sse/$ /sse break;
      rewrite ^/messages$ /messages/ break;
      proxy_pass http://serena_mcp_sse;
${toSerena}
      # 504: a container that is stopped leaves nobody who would refuse the connection.
      error_page 502 504 =503 @starting;`

const sseLocations = `    location @sse_stream {
${sseTarget}
    }
    location @sse_message {
      proxy_ignore_client_abort on;
${sseTarget}
    }`

const parkingOf = (seed: Seed): NonNullable<NonNullable<Seed['serena']>['parking']> => seed.serena?.parking ?? parkingDefaults

/** For the `http` block: images/nginx/keeper.ts and gate.ts, and what they remember. */
const scripts = (seed: Seed): string => `  js_import keeper from /opt/golden/nginx/keeper.js;
  js_import gate from /opt/golden/nginx/gate.js;
${
  seed.acme === undefined
    ? ''
    : `  js_import certificate from /opt/golden/nginx/certificate.js;
  js_set $golden_certificate certificate.name;
`
}  js_shared_dict_zone zone=golden_sessions:8m timeout=48h evict;
  # Serena forgets sessions after half an hour.
  js_shared_dict_zone zone=golden_seen:2m type=number timeout=30m evict;
  js_shared_dict_zone zone=golden_handover:32k;
  js_shared_dict_zone zone=golden_counts:32k type=number;
  # Longer than anybody waits: counts of a process that was ended go in time.
  js_shared_dict_zone zone=golden_waiting:32k type=number timeout=${parkingOf(seed).seconds + 60}s;
  js_shared_dict_zone zone=golden_running:4m type=number;
  js_set $golden_state gate.state;
  js_set $golden_leaves gate.leaves;
  js_set $golden_logged gate.logged;
  js_set $golden_push_logged gate.loggedPush;
  # Opening a session again includes its project, whose language server may have to be started.
  js_fetch_timeout 240s;
`

/** Sessions survive Serena: keeper.ts decides whose they are, gate.ts when they go on to @serena. @param check who may */
function keptLocations(seed: Seed, check: string): string {
  const { calls, mebibytes, seconds } = parkingOf(seed)
  const location = (path: string): string => `    location ${path} {
      ${check}
      ${counted}
      set $golden_parking "${calls} ${mebibytes * 1024 * 1024} ${seconds * 1000}";
      set $golden_session "";
      set $golden_upstream_session "";
      set $golden_resumed "";
      set $golden_turned_away "";
      set $golden_since "";
      set $golden_missed "";
      set $golden_tried "";
      set $golden_waits "";
      js_content keeper.pass;
${refusalPages('      ')}    }
`
  return location('= /mcp') + location('= /mcp/')
}

function keeperLocations(seed: Seed): string {
  const url = `http://${containerNetworks(seed.containers).serenaMcp}:9121/mcp`
  return `    location @gate { js_content gate.enter; }
    location @closing {
      keepalive_timeout 0;
      js_content keeper.refuse;
    }
    location @serena {
      rewrite ^ /mcp break;
      proxy_pass http://serena_mcp;
      js_header_filter keeper.seen;
      proxy_set_header Mcp-Session-Id $golden_upstream_session;
${toSerena}
      # Serena goes on with a call whose client has left: it is counted until she is done.
      proxy_ignore_client_abort on;
      proxy_intercept_errors on;
      recursive_error_pages on;
      error_page 404 = @resume;
      # 504: a container that is stopped leaves nobody who would refuse the connection.
      error_page 502 504 = @away;
    }
    location @ready {
      set $golden_serena ${url};
      js_content keeper.ready;
    }
    location = /golden-ping {
      internal;
      rewrite ^ /mcp break;
      proxy_pass http://serena_mcp;
      proxy_pass_request_headers off;
      proxy_set_header Host $golden_host;
      proxy_set_header Connection "";
      proxy_set_header Content-Type application/json;
      proxy_set_header Accept "application/json, text/event-stream";
      proxy_set_header Mcp-Session-Id $golden_upstream_session;
      proxy_set_body '{"jsonrpc":"2.0","id":0,"method":"ping"}';
      # A container that is stopped leaves nobody who would refuse the connection.
      proxy_connect_timeout 1s;
      proxy_read_timeout 10s;
    }
    location @resume {
      set $golden_serena ${url};
      js_content keeper.resume;
    }
    location @away {
      # Each look at a Serena that is not there would be a line.
      error_log stderr crit;
      set $golden_serena ${url};
      # Packets to a container that was stopped go unanswered, and the call goes on only when all that it asked has ended.
      js_fetch_timeout 1s;
      js_content gate.away;
    }
`
}

/** To the peer slot, which has the service address soon: no connection of a client stays open here. */
const forwardLocations = (seed: Seed): string => `    location @forward {
      keepalive_timeout 0;
      rewrite ^ /mcp break;
      proxy_pass https://${seed.peer}:443;
${toPeer(seed)}
      proxy_set_header X-Golden-User $golden_user;
      proxy_set_header X-Golden-Client $remote_addr;
      proxy_set_header X-Golden-Host $golden_host;
      # Both say it.
      proxy_hide_header Strict-Transport-Security;
      proxy_buffering off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
      proxy_ignore_client_abort on;
      recursive_error_pages on;
      error_page 502 504 = @away;
    }
${askPeer(seed, '= /golden-peer').replace('{\n', '{\n      internal;\n')}`

const lokiPush = `      if ($request_method != POST) { return 405; }
      limit_req zone=push burst=200 nodelay;
      ${authenticated}
      ${counted}
      js_content gate.push;`

function loggingServer(seed: Seed, port: number, image: ImageRecord): string {
  const at = containerNetworks(seed.containers)
  const grafana = presentContainers(seed, image).some((container) => container.name === 'grafana')
  const front = grafana
    ? `    location / {
      if ($golden_state != open) { rewrite ^ /golden-moving last; }
      limit_req zone=page burst=500 nodelay;
      limit_req zone=login burst=5 nodelay;
      proxy_pass http://${at.grafana}:3000;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 3600s;
    }`
    : `    location / {
      default_type text/plain;
      return 503 "This image has no Grafana: its lock names no image for it. Loki works; ask it with slotctl logs QUERY.\\n";
    }`
  return `
  limit_req_zone $binary_remote_addr zone=push:10m rate=50r/s;
  limit_req_zone $golden_login zone=login:10m rate=1r/s;
  limit_req_zone $binary_remote_addr zone=page:10m rate=50r/s;
  # What makes Grafana check a password.
  map "$request_method $uri $http_authorization" $golden_login {
    default "";
    "~^POST /login" $binary_remote_addr;
    "~* basic " $binary_remote_addr;
  }
  map $http_upgrade $connection_upgrade {
    default upgrade;
    '' "";
  }
  server {
    listen ${port} ssl default_server;
    ssl_certificate ${folder}/tls/logging.pem;
    ssl_certificate_key ${folder}/tls/logging.key;
    add_header Strict-Transport-Security "max-age=63072000" always;
    access_log /dev/stdout golden if=$golden_logged;
    limit_conn open 200;

    # Of Loki nothing but the push, in its own form (Promtail) and in OpenTelemetry's (the collector).
    location = /loki/api/v1/push {
${lokiPush}
    }
    location = /otlp/v1/logs {
      # The collector throws away what is refused; a password that does not fit is mended by the next deployment.
      error_page 401 =503 @refusal;
${refusalPages('      ')}${lokiPush}
    }
    # One line for each batch would be a log about logging.
    location @push {
      access_log /dev/stdout golden if=$golden_push_logged;
      proxy_pass http://${at.loki}:3100;
      proxy_set_header Authorization "";
      proxy_set_header Connection "";
      proxy_ignore_client_abort on;
    }
${comeAgain('= /golden-moving', movingBody)}${comeAgain('@moving', movingBody)}    location /loki/ { return 404; }
    location /otlp/ { return 404; }
${authLocation('loki')}
${refusalLocations}${front}
  }
`
}
