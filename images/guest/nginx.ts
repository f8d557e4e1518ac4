/** nginx.conf of a slot. TLS follows Mozilla's intermediate recommendation (version 5.7). */
import type { ImageRecord } from '../contract/record.ts'
import type { Seed } from '../contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { authSocketName, presentContainers } from './places.ts'
import { probeUser } from './authenticator.ts'
import { oauthLocation, refusalLocations, refusalMaps, refusalPages, startingBody } from './refusals.ts'

const folder = '/etc/golden/nginx'

/**
 * Renders the whole file. Who asks for an unknown name gets no answer, unknown paths are 404 without a question for a
 * password (MCP clients probe OAuth addresses and must see a 404), and while Serena starts clients get 503: a 404 on
 * /mcp would tell them that their session is gone. Passwords are golden-auth's business: checking one here would stop
 * everybody else for as long as that takes.
 */
export function nginxConfiguration(seed: Seed, image: ImageRecord): string {
  const servers: string[] = []
  if (seed.roles.includes('serena')) servers.push(serenaServers(seed))
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
  log_format golden escape=json '{"time":"$time_iso8601","remote":"$remote_addr","user":"$remote_user","host":"$host",'
    '"method":"$request_method","path":"$golden_path","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
    '"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_seconds":"$upstream_response_time","agent":"$http_user_agent"}';
  # What an error was for, and not the page that tells it.
  map $request_uri $golden_path { default ""; "~^(?<asked>[^?]+)" $asked; }
  # The health check of this host comes every few seconds.
  map "$remote_addr $remote_user" $golden_heard { default 1; "127.0.0.1 ${probeUser}" 0; }
  access_log /dev/stdout golden if=$golden_heard;

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

  # For this host only: health, and what is going on (\`slotctl drain\` waits for it).
  server {
    listen 127.0.0.1:8099;
    access_log off;
    location = /health { return 200 "ok\\n"; }
    location = /activity { stub_status; }
    location / { return 404; }
  }
${servers.join('\n')}}
`
}

/**
 * Serena's server (uvicorn) closes what was idle for 5 s. nginx has to be first, or a call meets a connection that is
 * just being closed, and nginx must not repeat a call that may have arrived.
 */
const reuse = 'keepalive 16; keepalive_timeout 2s;'

function serenaServers(seed: Seed): string {
  const { host, httpsPort } = seed.public
  const transports = seed.serena?.transports ?? []
  const at = containerNetworks(seed.containers)
  const tls = `ssl_certificate ${folder}/tls/public.pem;
    ssl_certificate_key ${folder}/tls/public.key;`
  const locations: string[] = []
  const upstreams: string[] = []
  if (transports.includes('streamable-http')) {
    upstreams.push(`  upstream serena_mcp { server ${at.serenaMcp}:9121; ${reuse} }`)
    locations.push(keptLocation('= /mcp'), keptLocation('= /mcp/'), keeperLocations(`http://${at.serenaMcp}:9121/mcp`))
  }
  if (transports.includes('sse')) {
    upstreams.push(`  upstream serena_mcp_sse { server ${at.serenaMcpSse}:9121; ${reuse} }`)
    locations.push(serenaLocation('= /sse', 'serena_mcp_sse/sse'), serenaLocation('= /sse/', 'serena_mcp_sse/sse'))
    // Without the second one nginx would send a POST to /messages elsewhere, and the client would come back with a GET.
    locations.push(serenaLocation('/messages/', 'serena_mcp_sse'), serenaLocation('= /messages', 'serena_mcp_sse/messages/'))
  }
  const port = httpsPort === 443 ? '' : `:${httpsPort}`
  // By its own address too: not every router leads people in the LAN to the public one. Who asks for no name, because an
  // address is none to TLS, gets the certificate; who asks for another one gets nothing.
  const names = [...new Set([host, seed.service])]
  const toHttps = (name: string, portSuffix: string): string => `
  server {
    listen 80;
    server_name ${name};
${refusalLocations}    location / { return 301 https://${name}${portSuffix}$request_uri; }
  }`
  return `
${transports.includes('streamable-http') ? keeper : ''}${upstreams.join('\n')}

  server {
    listen 80 default_server;
${refusalLocations}    location / { return 444; }
  }${names.map((name) => toHttps(name, name === host ? port : '')).join('')}
  server {
    listen 443 ssl default_server;
    ${tls}
${refusalLocations}    location / { return 444; }
  }
  server {
    listen 443 ssl;
    server_name ~.;
    ssl_reject_handshake on;
    location / { return 444; }
  }
  server {
    listen 443 ssl;
    server_name ${names.join(' ')};
    ${tls}
    add_header Strict-Transport-Security "max-age=63072000" always;
    limit_req zone=client burst=100 nodelay;
    limit_conn open 200;

    location / { return 404; }
${oauthLocation}
${locations.join('\n')}
${authLocation('serena')}
${refusalLocations}    location @starting {
      internal;
      default_type application/json;
      add_header Retry-After 2 always;
      add_header Strict-Transport-Security "max-age=63072000" always;
      return 503 ${startingBody};
    }
  }
`
}

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

const toSerena = `      proxy_set_header Host $host;
      proxy_set_header Connection "";
      # The password is golden-auth's business.
      proxy_set_header Authorization "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_buffering off;
      proxy_cache off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;`

/** @param target upstream, with the path where it is to be another than the client's */
const serenaLocation = (path: string, target: string): string => `    location ${path} {
      ${authenticated}
      proxy_pass http://${target};
${toSerena}
      # 504: a container that is stopped leaves nobody who would refuse the connection.
      error_page 502 504 =503 @starting;
${refusalPages('      ')}    }`

const keeper = `  js_import keeper from /opt/golden/nginx/keeper.js;
  js_shared_dict_zone zone=golden_sessions:8m timeout=48h evict;
  js_shared_dict_zone zone=golden_waiting:32k type=number timeout=2m;
  # Opening a session again includes its project, whose language server may have to be started.
  js_fetch_timeout 240s;
`

/** Sessions survive Serena: images/nginx/keeper.ts decides, and goes on to @serena. */
const keptLocation = (path: string): string => `    location ${path} {
      ${authenticated}
      set $golden_session "";
      set $golden_upstream_session "";
      set $golden_resumed "";
      set $golden_waited "";
      js_content keeper.pass;
${refusalPages('      ')}    }`

/** @param url where the keeper itself asks Serena */
const keeperLocations = (url: string): string => `    location @serena {
      rewrite ^ /mcp break;
      proxy_pass http://serena_mcp;
      js_header_filter keeper.seen;
      proxy_set_header Mcp-Session-Id $golden_upstream_session;
${toSerena}
      proxy_intercept_errors on;
      recursive_error_pages on;
      error_page 404 = @resume;
      # 504: a container that is stopped leaves nobody who would refuse the connection.
      error_page 502 504 = @away;
    }
    location @resume {
      set $golden_serena ${url};
      js_content keeper.resume;
    }
    location @away {
      # Each look at a Serena that is not there would be a line.
      error_log stderr crit;
      set $golden_serena ${url};
      # Milliseconds: Serena starts in seconds, and clients give up after a minute.
      set $golden_longest_wait 30000;
      # Packets to a container that was stopped go unanswered, and the call goes on only when all that it asked has ended.
      js_fetch_timeout 1s;
      js_content keeper.away;
    }`

const lokiPush = (address: string): string => `      if ($request_method != POST) { return 405; }
      limit_req zone=push burst=200 nodelay;
      ${authenticated}
      access_log /dev/stdout golden if=$golden_push_refused;
      proxy_pass http://${address}:3100;
      proxy_set_header Authorization "";
      proxy_set_header Connection "";`

function loggingServer(seed: Seed, port: number, image: ImageRecord): string {
  const at = containerNetworks(seed.containers)
  const grafana = presentContainers(seed, image).some((container) => container.name === 'grafana')
  const front = grafana
    ? `    location / {
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
  # One line for each batch would be a log about logging.
  map $status $golden_push_refused { default 0; "~^4" 1; }
  map $http_upgrade $connection_upgrade {
    default upgrade;
    '' "";
  }
  server {
    listen ${port} ssl default_server;
    ssl_certificate ${folder}/tls/logging.pem;
    ssl_certificate_key ${folder}/tls/logging.key;
    add_header Strict-Transport-Security "max-age=63072000" always;
    limit_conn open 200;

    # Of Loki nothing but the push, in its own form (Promtail) and in OpenTelemetry's (the collector).
    location = /loki/api/v1/push {
${lokiPush(at.loki)}
    }
    location = /otlp/v1/logs {
      # The collector throws away what is refused; a password that does not fit is mended by the next deployment.
      error_page 401 =503 @refusal;
${refusalPages('      ')}${lokiPush(at.loki)}
    }
    location /loki/ { return 404; }
    location /otlp/ { return 404; }
${authLocation('loki')}
${refusalLocations}${front}
  }
`
}
