"""Asks the LAN who has an address, each 20 ms, until standard input ends. A line for each question: the MACs that answered."""
import select, socket, struct, sys, time

nic, source, target = sys.argv[1:4]
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
packets.bind((nic, 0x0806))
own = packets.getsockname()[4]
question = (b"\xff" * 6 + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
            + own + socket.inet_aton(source) + b"\0" * 6 + socket.inet_aton(target))
while True:
    packets.send(question)
    end, answers = time.monotonic() + 0.02, []
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([packets, sys.stdin], [], [], left)
        if sys.stdin in ready:
            sys.exit(0)
        if packets in ready:
            frame = packets.recv(2048)
            if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(target) and frame[0:6] == own:
                answers.append(frame[22:28].hex(":"))
    print(",".join(answers), flush=True)
