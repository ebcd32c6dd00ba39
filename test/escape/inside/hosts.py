"""Says raw bytes to the gateway's ports, one connection for each, and tells the status and body that came back."""
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

plan = json.loads(sys.argv[1])


def say(one):
    port, text = one["port"], one["text"].encode("latin-1")
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(text)
            s.shutdown(socket.SHUT_WR) if one.get("end") else None
            s.settimeout(3)
            reply = b""
            while part := s.recv(65536):
                reply += part
    except OSError as error:
        if not isinstance(error, TimeoutError):
            return {"status": 0, "body": str(error)}
    head, _, body = reply.decode("latin-1").partition("\r\n\r\n")
    status = head.split(" ")[1] if head.startswith("HTTP/1.1 ") else "0"
    return {"status": int(status), "body": body}


with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(say, plan))))
