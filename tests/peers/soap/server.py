"""A SOAP server by spyne with two services, one for each version of SOAP; and /raw, which sends back what it gets."""
import datetime
import decimal
import logging
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from spyne import Application, Array, ByteArray, ComplexModel, Date, Decimal, Fault, Integer, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11, Soap12
from spyne.server.wsgi import WsgiApplication


class Item(ComplexModel):
    __namespace__ = "urn:shop"
    name = Unicode
    price = Decimal
    since = Date


class Shop(ServiceBase):
    @rpc(Unicode, _returns=Unicode)
    def upper(ctx, text):
        return None if text is None else text.upper()

    @rpc(Integer, Integer, _returns=Integer)
    def add(ctx, one, other):
        return one + other

    @rpc(Integer, _returns=Array(Item))
    def items(ctx, count):
        day = datetime.date(2026, 1, 1)
        return [Item(name="näme <%d> & co" % at, price=decimal.Decimal("1.50") * at, since=day) for at in range(count)]

    @rpc(Item, _returns=Item)
    def twice(ctx, item):
        return Item(name=item.name * 2, price=item.price * 2, since=item.since)

    @rpc(ByteArray, _returns=ByteArray)
    def turn(ctx, data):
        return [b"".join(data)[::-1]]

    @rpc(Unicode, _returns=Unicode)
    def refuse(ctx, reason):
        raise Fault("Client.Stock", reason)

    @rpc(_returns=Unicode)
    def crash(ctx):
        raise ValueError("on purpose")


def soap(version):
    name = "Shop%s" % ("11" if version is Soap11 else "12")
    application = Application([Shop], "urn:shop", name=name, in_protocol=version(validator="lxml"), out_protocol=version())
    return WsgiApplication(application)


SERVICES = {"/shop11": soap(Soap11), "/shop12": soap(Soap12)}


def serve(environ, start_response):
    path = environ["PATH_INFO"].rstrip("/")
    if path == "/raw":
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        start_response("200 OK", [("Content-Type", environ["CONTENT_TYPE"]), ("Content-Length", str(len(body)))])
        return [body]
    if path in SERVICES:
        return SERVICES[path](environ, start_response)
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    logging.getLogger("spyne").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", int(sys.argv[1]), serve, Server, Quiet)
    server.serve_forever()
