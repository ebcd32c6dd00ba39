# What is not granted: a name it could guess, an address it could know, the whole rest of the world.
import http.client, os, socket, urllib.request

def ask(host):
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    reply = connection.getresponse()
    return reply.status, reply.read().decode()

print("unknown host", *ask("example.com"))
print("not granted", *ask(f"everything.{os.environ['DOMAIN']}"))
for host, port in [("127.0.0.1", int(os.environ["UPSTREAM_PORT"])), ("10.0.0.1", 443), ("169.254.169.254", 80)]:
    try:
        socket.create_connection((host, port), 3)
        print("REACHED", host)
    except OSError as error:
        print(f"{host}:{port}", error.strerror)
try:
    urllib.request.urlopen("https://example.com/", timeout=5)
    print("REACHED example.com")
except OSError as error:
    print("names", error.reason.strerror)
