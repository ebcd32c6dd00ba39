"""Says raw bytes to the gateway's ports, one connection for each, and tells what came back. `tls` is the server name to ask for."""
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor

plan = json.loads(sys.argv[1])
anyone = ssl.create_default_context()
anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE


def dial(one):
    plain = socket.create_connection(("127.0.0.1", one["port"]), 5)
    return anyone.wrap_socket(plain, server_hostname=one["tls"] or None) if "tls" in one else plain


def say(one):
    reply = b""
    try:
        with dial(one) as s:
            s.settimeout(one.get("wait", 3))
            for part in one["text"].encode("latin-1") if one.get("slowly") else [None]:
                s.sendall(one["text"].encode("latin-1") if part is None else bytes([part]))
            while part := s.recv(65536):
                reply += part
    except (OSError, ValueError) as error:
        if not isinstance(error, TimeoutError):
            return {"status": 0, "head": "", "body": str(error)}
    head, _, body = reply.decode("latin-1").partition("\r\n\r\n")
    status = head.split(" ")[1] if head.startswith("HTTP/1.1 ") else "0"
    return {"status": int(status), "head": head, "body": body}


with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(say, plan))))
