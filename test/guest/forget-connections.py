"""Empties the kernel's table of connections in this network namespace (ctnetlink, what `conntrack -F` does)."""
import socket, struct

link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
# Delete in the subsystem ctnetlink; request and acknowledgement; any family.
link.send(struct.pack("=IHHII", 20, (1 << 8) | 2, 1 | 4, 1, 0) + struct.pack("=BBH", 0, 0, 0))
error = struct.unpack("=i", link.recv(4096)[16:20])[0]
if error:
    raise OSError(-error, "ctnetlink")
