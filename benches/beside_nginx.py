#!/usr/bin/env python3
"""Requests a second and processor time per request, beside nginx as a proxy, on one core, in one run.

    cargo build --release && benches/beside_nginx.py [seconds]

Needs Debian's nginx and wrk. The gateway under test (or nginx) has core 0 to itself; the backend (nginx) and the load (wrk) share core 1.
Each row is a run of wrk with 64 connections; processor time is what /proc says the process used, divided by the requests answered.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 8
ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("MYELIN_BINARY", ROOT / "target/release/myelin"))
NS = 'xmlns="http://ws.apache.org/ns/synapse"'
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing listens on {port}")


def processor_time(pids):
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(p) for p in out]


def nginx(folder, name, core, body):
    for kind in ("body", "proxy", "f", "u", "s"):
        (folder / f"{name}-{kind}").mkdir()
    conf = folder / f"{name}.conf"
    conf.write_text(
        f"worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log; daemon off; user root;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 100000000; client_max_body_size 20m; client_body_buffer_size 64k;"
        f" client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;"
        f" fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s; {body} }}\n"
    )
    return subprocess.Popen(
        ["taskset", "-c", str(core), "nginx", "-c", str(conf), "-p", str(folder)], stderr=subprocess.DEVNULL
    )


def myelin(folder, core, listen):
    process = subprocess.Popen(
        ["taskset", "-c", str(core), str(BINARY), "run", str(folder), "--listen", f"127.0.0.1:{listen}",
         "--admin", "127.0.0.1:0", "--no-watch", "--log", "error"],
        env={**os.environ, "MYELIN_WORKERS": "1"}, stdout=subprocess.DEVNULL,
    )
    wait(listen)
    return process


def wrk(url, seconds, script):
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", url]
    if script:
        command += ["-s", str(script)]
    return subprocess.run(command, capture_output=True, text=True).stdout


def measure(name, pids, url, script=None):
    wrk(url, 1, script)
    before = processor_time(pids)
    out = wrk(url, SECONDS, script)
    spent = processor_time(pids) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    p99 = re.search(r"99%\s+(\S+)", out).group(1)
    trouble = " ".join(re.findall(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", out))
    micros = spent / requests * 1e6
    print(f"{name:56} {requests / SECONDS:9.0f}/s {micros:8.1f} us/request   p99 {p99:>8}  {trouble}", flush=True)
    return micros


def post(folder, name, body, content_type):
    (folder / f"{name}.body").write_text(body)
    script = folder / f"{name}.lua"
    script.write_text(
        f'local f = io.open("{folder}/{name}.body", "rb"); wrk.body = f:read("*a"); f:close()\n'
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{content_type}"\n'
    )
    return script


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
        routing = (
            '<filter xpath="//m:symbol = \'ACME\'" xmlns:m="urn:q"><then>' + call + "</then><else><drop/></else></filter>"
        )
        one = folder / "one"
        one.mkdir()
        for name, steps in [("pass", call), ("three", three + call), ("toxml", to_xml), ("route", routing)]:
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
        nginx_get = measure("nginx, GET 1 KiB", theirs, f"{p}/x")
        get = measure("myelin, GET 1 KiB passed through", ours, f"{g}/pass/x")
        print(f"{'  myelin / nginx':56} {get / nginx_get:9.2f}")
        nginx_post = measure("nginx, POST 10 KiB", theirs, f"{p}/x", ten_kib)
        sent = measure("myelin, POST 10 KiB passed through", ours, f"{g}/pass/x", ten_kib)
        print(f"{'  myelin / nginx':56} {sent / nginx_post:9.2f}")
        more = measure("myelin, GET 1 KiB, filter + property + header", ours, f"{g}/three/x")
        print(f"{'  the three mediators cost':56} {more - get:9.2f} us")
        measure("myelin, JSON 1 KiB to XML by payloadFactory, respond", ours, f"{g}/toxml/x", json)
        measure("myelin, XPath routing over a 10 KiB SOAP message", ours, f"{g}/route/x", soap)

        thousands = folder / "many"
        thousands.mkdir()
        for i in range(10_000):
            (thousands / f"a{i}.xml").write_text(api(f"a{i}", f"/group{i % 100}/api{i}", call))
        processes.append(myelin(thousands, 0, many))
        crowd = measure(
            "myelin, GET 1 KiB, one of 10,000 APIs", [processes[-1].pid], f"http://127.0.0.1:{many}/group77/api4777/x")
        print(f"{'  against one of four':56} {crowd / get:9.2f}")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
