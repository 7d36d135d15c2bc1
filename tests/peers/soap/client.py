"""Calls every operation of both services, past the gateway and through it, with zeep: what comes back must be the same."""
import datetime
import decimal
import sys
import urllib.error
import urllib.request

import zeep
from lxml import etree
from zeep import Plugin
from zeep.helpers import serialize_object

server, gateway = sys.argv[1:3]
ITEM = {"name": "ein <Stück> & mehr", "price": decimal.Decimal("2.50"), "since": datetime.date(2026, 2, 3)}
CALLS = [
    ("upper", ("straße & <co>",)),
    ("upper", ("\U0001f600 " * 500,)),
    ("upper", (None,)),
    ("add", (2, 3)),
    ("add", (10**30, -1)),
    ("items", (0,)),
    ("items", (40,)),
    ("twice", (ITEM,)),
    ("turn", (bytes(range(256)) * 20,)),
    ("refuse", ("no stock of <ä>",)),
    ("crash", ()),
]


def outcome(client, operation, arguments):
    try:
        return "answer", serialize_object(getattr(client.service, operation)(*arguments))
    except zeep.exceptions.Fault as fault:
        # An inner Fault has a detail as text.
        detail = None if fault.detail is None else etree.tostring(fault.detail, method="c14n")
        return "fault", (fault.code, fault.message, fault.actor, detail, fault.subcodes)


done = faults = 0
for name in ("Shop11", "Shop12"):
    direct = zeep.Client("%s/%s/?wsdl" % (server, name.lower()))
    through = zeep.Client("%s/services/%s?wsdl" % (gateway, name))
    address = through.service._binding_options["address"]
    assert address == "%s/services/%s" % (gateway, name), address
    for operation, arguments in CALLS:
        one, other = outcome(direct, operation, arguments), outcome(through, operation, arguments)
        assert one == other, "%s.%s: %r past the gateway, %r through it" % (name, operation, one, other)
        done += 1
        faults += one[0] == "fault"
print("zeep: %d calls through the gateway equal to those past it, %d of them faults" % (done, faults))


class Smart(Plugin):
    """A client that says in the message where it goes."""

    def egress(self, envelope, http_headers, operation, binding_options):
        addressing = "http://www.w3.org/2005/08/addressing"
        header = envelope.find("{*}Header")
        if header is None:
            header = etree.Element(etree.QName(envelope, "Header"))
            envelope.insert(0, header)
        for local, text in (("To", server + "/shop11"), ("Action", "upper"), ("MessageID", "urn:uuid:1")):
            etree.SubElement(header, etree.QName(addressing, local)).text = text
        return envelope, http_headers


smart = zeep.Client("%s/shop11/?wsdl" % server, plugins=[Smart()])
smart.service._binding_options["address"] = gateway + "/smart"
assert smart.service.upper("a") == "A"
print("zeep: a message with wsa:To went where it says, since the setting allows it")

# A message that the gateway itself refuses, in both versions: the fault is one that zeep understands.
for name, code in (("Shop11", "Server"), ("Shop12", "Receiver")):
    client = zeep.Client("%s/services/%s?wsdl" % (gateway, name))
    client.service._binding_options["address"] = "%s/services/Gone%s" % (gateway, name[4:])
    kind, fault = outcome(client, "add", (1, 2))
    assert kind == "fault" and fault[0].split(":")[-1] == code, (kind, fault)
print("zeep: the gateway's own faults are understood in SOAP 1.1 and 1.2")


def raw(address, content_type, body):
    request = urllib.request.Request(address, body, {"Content-Type": content_type, "SOAPAction": '"urn:turn"'})
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Content-Type"], answer.read()


for kind, content_type in (
    ("MTOM", 'multipart/related; boundary="=b"; type="application/xop+xml"; start="<root@x>"; start-info="text/xml"'),
    ("SwA", 'multipart/related; boundary="=b"; type="text/xml"; start="<root@x>"'),
):
    root = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><t:turn xmlns:t="urn:shop"><t:data>'
        b'<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:1@x"/></t:data></t:turn></e:Body></e:Envelope>'
    )
    body = (
        b"--=b\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"text/xml\"\r\nContent-ID: <root@x>\r\n\r\n" + root +
        b"\r\n--=b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <1@x>\r\n\r\n" +
        bytes(range(256)) * 400 + b"\r\n--=b--\r\n"
    )
    for proxy in ("Raw", "RawSeen", "RawSoap"):
        answered = raw("%s/services/%s" % (gateway, proxy), content_type, body)
        assert answered == (content_type, body), "%s by %s: %r" % (kind, proxy, (answered[0], answered[1][:300]))
print("MTOM and SwA: %d bytes there and back without a change, looked into or not" % len(body))
