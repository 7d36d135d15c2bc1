#!/usr/bin/env python3
"""Requests a second and processor time per request, beside nginx as a proxy, on one core, in one run.

    cargo build --release && benches/beside_nginx.py [seconds of the rows that stand alone]

Needs Debian's nginx and wrk. The gateway under test (or nginx) has core 0 to itself; the backend (nginx) and the load (wrk) share core 1.
Each turn is a run of wrk with 64 connections; processor time is what /proc says the process used, divided by the requests answered. What is compared
takes turns, as a machine is not the same from minute to minute: a ratio is that of the medians, and what a step adds is the median of the
differences within a round.
"""
import shutil
import signal
import statistics
import tempfile
from pathlib import Path

from kit import beside, children, free_port, measure, myelin, nginx, post, wait

ROUNDS = 25
NS = 'xmlns="http://ws.apache.org/ns/synapse"'


def api(name, context, steps):
    return (
        f'<api {NS} name="{name}" context="{context}"><resource methods="GET POST" uri-template="/*">'
        f"<inSequence>{steps}</inSequence></resource></api>"
    )


def main():
    folder = Path(tempfile.mkdtemp(prefix="myelin-bench-"))
    processes = []
    try:
        backend, proxy, gateway, many = (free_port() for _ in range(4))
        kib = "x" * 1024
        processes.append(nginx(
            folder, "backend", 1,
            f'server {{ listen 127.0.0.1:{backend}; location / {{ default_type text/plain; return 200 "{kib}"; }} }}'))
        processes.append(nginx(
            folder, "proxy", 0,
            f"upstream b {{ server 127.0.0.1:{backend}; keepalive 128; keepalive_requests 100000000; }}"
            f" server {{ listen 127.0.0.1:{proxy}; location / {{"
            f' proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}'))
        wait(backend)
        wait(proxy)

        call = f'<call><endpoint><http uri-template="http://127.0.0.1:{backend}/x"/></endpoint></call><respond/>'
        three = (
            '<filter source="$trp:X-None" regex="x"><then><drop/></then></filter>'
            '<property name="p" value="1"/><header name="X-P" value="1" scope="transport"/>'
        )
        to_xml = (
            '<payloadFactory media-type="xml"><format><order xmlns=""><id>$1</id><item>$2</item></order></format><args>'
            '<arg evaluator="json" expression="$.id"/><arg evaluator="json" expression="$.item"/></args></payloadFactory>'
            "<respond/>"
        )
        child = f'<endpoint><http uri-template="http://127.0.0.1:{backend}/x"/></endpoint>'

        def called(endpoint):
            return f"<call><endpoint>{endpoint}</endpoint></call><respond/>"

        more = {
            "failover": called(f"<failover>{child}{child}</failover>"),
            "turns": called(f"<loadbalance>{child}{child}</loadbalance>"),
            "dynamic": called(f"<dynamic expression='`http://127.0.0.1:{backend}/${{query.to}}`' allow=\"http://127.0.0.1:{backend}\"/>"),
            "lambda": called(
                '<lambda function="hello" region="eu-central-1" access-key="AKID" secret-key="s3cret"'
                f' endpoint-url="http://127.0.0.1:{backend}"/>'),
        }
        routing = (
            '<filter xpath="//m:symbol = \'ACME\'" xmlns:m="urn:q"><then>' + call + "</then><else><drop/></else></filter>"
        )
        one = folder / "one"
        one.mkdir()
        first = '<property name="first" value="1"/>'
        flows = {
            "pass": call, "three": three + call, "one": first + call, "four": first + three + call, "toxml": to_xml, "route": routing, **more}
        for name, steps in flows.items():
            (one / f"{name}.xml").write_text(api(name, f"/{name}", steps))
        processes.append(myelin(one, 0, gateway))
        ours = [processes[-1].pid]
        theirs = children(processes[1].pid)

        ten_kib = post(folder, "tenkib", "y" * 10240, "text/plain")
        json = post(folder, "json", '{"id": 7, "item": "book", "note": "' + "n" * 900 + '"}', "application/json")
        lines = "".join(f"<m:line><m:no>{i}</m:no><m:text>some text of a line</m:text></m:line>" for i in range(150))
        soap = post(
            folder, "soap",
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<m:quote xmlns:m="urn:q">{lines}<m:symbol>ACME</m:symbol></m:quote></s:Body></s:Envelope>', "text/xml")

        g, p = f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{proxy}"
        for what, script in [("GET 1 KiB", None), ("POST 10 KiB", ten_kib)]:
            theirs_took, took = (statistics.median(costs) for costs in beside(
                ROUNDS, (f"nginx, {what}", theirs, f"{p}/x", script),
                (f"myelin, {what} passed through", ours, f"{g}/pass/x", script)))
            print(f"{'  myelin / nginx':56} {took / theirs_took:8.2f}")
        def added(*rows):
            """What each row costs more than the first."""
            first, *others = beside(ROUNDS, *[(f"myelin, GET 1 KiB, {what}", ours, f"{g}/{path}") for what, path in rows])
            for (what, _), costs in zip(rows[1:], others):
                more = statistics.median(cost - one for cost, one in zip(costs, first))
                print(f"{'  more than ' + rows[0][0] + ': ' + what:56} {more:8.2f} us")

        # What only passes through goes a shorter way; a step more, and there is a message.
        added(("passed through", "pass/x"), ("filter + property + header", "three/x"))
        added(
            ("a property", "one/x"), ("a property and those three", "four/x"), ("failover of two", "failover/x"), ("turns of two", "turns/x"),
            ("a dynamic endpoint", "dynamic/x?to=x"), ("a lambda endpoint", "lambda/x"))
        measure("myelin, JSON 1 KiB to XML by payloadFactory, respond", ours, f"{g}/toxml/x", json)
        measure("myelin, XPath routing over a 10 KiB SOAP message", ours, f"{g}/route/x", soap)

        thousands = folder / "many"
        thousands.mkdir()
        for i in range(10_000):
            (thousands / f"a{i}.xml").write_text(api(f"a{i}", f"/group{i % 100}/api{i}", call))
        processes.append(myelin(thousands, 0, many))
        few, crowd = (statistics.median(costs) for costs in beside(
            ROUNDS, (f"myelin, GET 1 KiB, one of {len(flows)} APIs", ours, f"{g}/pass/x"),
            ("myelin, GET 1 KiB, one of 10,000 APIs", [processes[-1].pid], f"http://127.0.0.1:{many}/group77/api4777/x")))
        print(f"{'  10,000 / few':56} {crowd / few:8.2f}")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
