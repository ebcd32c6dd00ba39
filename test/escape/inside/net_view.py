"""What the kernel tells of the network: interfaces, routes, neighbours, and which raw ways in there are."""
import errno, fcntl, json, os, socket, struct


def lines(path):
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError as error:
        return [errno.errorcode[error.errno]]


def outcome(go):
    try:
        go()
        return "ok"
    except socket.gaierror as error:
        return "EAI"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def links():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        # RTM_GETLINK as a dump
        s.send(struct.pack("=IHHII", 32, 18, 0x301, 1, 0) + bytes(16))
        count, data = 0, s.recv(65536)
        while len(data) >= 16:
            size, kind = struct.unpack("=IH", data[:6])
            if kind == 16:
                count += 1
            data = data[(size + 3) & ~3 :]
            if not data and kind != 3:
                data = s.recv(65536)
        return count


def up(name):
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", name, 1))


print(
    json.dumps(
        {
            "names": [name for _, name in socket.if_nameindex()],
            "links": links(),
            "sys": sorted(os.listdir("/sys/class/net")),
            "dev": [line.split(":")[0].strip() for line in lines("/proc/net/dev") if ":" in line],
            "route": [line for line in lines("/proc/net/route")[1:]],
            "route6": sorted({line.split()[-1] for line in lines("/proc/net/ipv6_route")}),
            "addresses6": sorted({line.split()[-1] for line in lines("/proc/net/if_inet6")}),
            "arp": lines("/proc/net/arp")[1:],
            "resolver": lines("/etc/resolv.conf"),
            "packet": outcome(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768)),
            "raw": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)),
            "raw6": outcome(lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)),
            "bring-up": outcome(lambda: up(b"lo")),
            "resolve": outcome(lambda: socket.getaddrinfo("canary.example.com", 443)),
            "resolve-host": outcome(lambda: socket.getaddrinfo("host.docker.internal", 443)),
        }
    )
)
