/** nginx.conf of a slot. TLS follows Mozilla's intermediate recommendation (version 5.7). */
import { isIP } from 'node:net'
import type { ImageRecord, Seed } from '../seed.ts'
import { presentContainers } from './places.ts'

const folder = '/etc/golden/nginx'

/**
 * Renders the whole file. Who asks for an unknown name gets no answer, unknown paths are 404 without a question for a
 * password (MCP clients probe OAuth addresses and must see a plain 404), and while Serena starts clients get 503:
 * a 404 on /mcp would tell them that their session is gone.
 */
export function nginxConfiguration(seed: Seed, image: ImageRecord): string {
  const servers: string[] = []
  if (seed.roles.includes('serena')) servers.push(serenaServers(seed))
  if (seed.roles.includes('logging') && seed.logging) servers.push(loggingServer(seed, seed.logging.port, image))
  return `# Rendered at boot by golden-seed.service for release ${seed.release}.
# A few are enough, also on a host with many cores: the container may have only so many processes.
worker_processes 4;
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
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;

  # No arguments (SSE's hold the session), no headers but the client's name.
  log_format golden escape=json '{"time":"$time_iso8601","remote":"$remote_addr","user":"$remote_user","host":"$host",'
    '"method":"$request_method","path":"$uri","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
    '"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_seconds":"$upstream_response_time","agent":"$http_user_agent"}';
  access_log /dev/stdout golden;

  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
  ssl_prefer_server_ciphers off;
  ssl_session_cache shared:golden:10m;
  ssl_session_timeout 1d;
  ssl_session_tickets off;

  limit_req_zone $binary_remote_addr zone=client:10m rate=20r/s;
  limit_req_status 429;
  limit_req_log_level warn;

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
  const tls = `ssl_certificate ${folder}/tls/public.pem;
    ssl_certificate_key ${folder}/tls/public.key;`
  const locations: string[] = []
  const upstreams: string[] = []
  if (transports.includes('streamable-http')) {
    upstreams.push(`  upstream serena_mcp { server 172.30.0.11:9121; ${reuse} }`)
    locations.push(serenaLocation('= /mcp', 'serena_mcp'))
  }
  if (transports.includes('sse')) {
    upstreams.push(`  upstream serena_mcp_sse { server 172.30.0.12:9121; ${reuse} }`)
    locations.push(serenaLocation('= /sse', 'serena_mcp_sse'), serenaLocation('/messages/', 'serena_mcp_sse'))
  }
  // A name is told by TLS before anything else. An address is not: such clients get the certificate first.
  const stranger = isIP(host) ? tls : 'ssl_reject_handshake on;'
  const port = httpsPort === 443 ? '' : `:${httpsPort}`
  return `
${upstreams.join('\n')}

  server {
    listen 80 default_server;
    return 444;
  }
  server {
    listen 80;
    server_name ${host};
    return 301 https://${host}${port}$request_uri;
  }
  server {
    listen 443 ssl default_server;
    ${stranger}
    return 444;
  }
  server {
    listen 443 ssl;
    server_name ${host};
    ${tls}
    add_header Strict-Transport-Security "max-age=63072000" always;
    auth_basic "Serena";
    auth_basic_user_file ${folder}/htpasswd/serena;
    limit_req zone=client burst=100 nodelay;

    location / { return 404; }
${locations.join('\n')}
    location @starting {
      internal;
      auth_basic off;
      default_type application/json;
      add_header Retry-After 2 always;
      add_header Strict-Transport-Security "max-age=63072000" always;
      return 503 '{"error":"Serena is starting, or this slot is not the active one. Try again."}\\n';
    }
  }
`
}

const serenaLocation = (path: string, upstream: string): string => `    location ${path} {
      proxy_pass http://${upstream};
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      # The password is nginx's business.
      proxy_set_header Authorization "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_buffering off;
      proxy_cache off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
      # 504: a container that is stopped leaves nobody who would refuse the connection.
      error_page 502 504 =503 @starting;
    }`

function loggingServer(seed: Seed, port: number, image: ImageRecord): string {
  const grafana = presentContainers(seed, image).some(container => container.name === 'grafana')
  const front = grafana
    ? `    location / {
      proxy_pass http://172.30.0.22:3000;
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
  map $http_upgrade $connection_upgrade {
    default upgrade;
    '' "";
  }
  server {
    listen ${port} ssl default_server;
    ssl_certificate ${folder}/tls/logging.pem;
    ssl_certificate_key ${folder}/tls/logging.key;
    add_header Strict-Transport-Security "max-age=63072000" always;

    # Of Loki nothing but the push.
    location = /loki/api/v1/push {
      auth_basic "Loki";
      auth_basic_user_file ${folder}/htpasswd/loki;
      # One line for each batch would be a log about logging.
      access_log off;
      limit_except POST { deny all; }
      proxy_pass http://172.30.0.21:3100;
      proxy_set_header Authorization "";
      proxy_set_header Connection "";
    }
    location /loki/ { return 404; }
${front}
  }
`
}
