"""What the comparisons with other servers share: starting them on one core, and measuring what a request costs."""
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 8
# Seconds of one turn where servers take turns: short, so that a turn and its neighbours meet the same machine.
TURN = 1
ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("MYELIN_BINARY", ROOT / "target/release/myelin"))
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
    """All below it, children of children too."""
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [one for child in out for one in [int(child), *children(int(child))]]


def nginx(folder, name, core, body, modules=""):
    for kind in ("body", "proxy", "f", "u", "s"):
        (folder / f"{name}-{kind}").mkdir()
    conf = folder / f"{name}.conf"
    conf.write_text(
        f"{modules} worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log; daemon off; user root;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 100000000; client_max_body_size 20m; client_body_buffer_size 64k;"
        f" client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;"
        f" fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s; {body} }}\n"
    )
    return subprocess.Popen(
        ["taskset", "-c", str(core), "nginx", "-c", str(conf), "-p", str(folder)], stderr=subprocess.DEVNULL
    )


def myelin(folder, core, listen, **environment):
    process = subprocess.Popen(
        ["taskset", "-c", str(core), str(BINARY), "run", str(folder), "--listen", f"127.0.0.1:{listen}",
         "--admin", "127.0.0.1:0", "--no-watch", "--log", "error"],
        env={**os.environ, "MYELIN_WORKERS": "1", **environment}, stdout=subprocess.DEVNULL,
    )
    wait(listen)
    return process


def wrk(url, seconds, script):
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", url]
    if script:
        command += ["-s", str(script)]
    return subprocess.run(command, capture_output=True, text=True).stdout


def beside(rounds, *servers):
    """The servers in turns, round after round, as a machine is not the same from minute to minute. The costs of each, round by round.

    A server: what it is called, its processes, the address, and wrk's script."""
    found = [[] for _ in servers]
    for number in range(rounds):
        turn = list(zip(found, servers))
        for costs, server in turn if number % 2 else reversed(turn):
            costs.append(cost(*server, seconds=TURN)[0])
    for costs, (name, *_) in zip(found, servers):
        low, middle, high = statistics.quantiles(costs, n=4)
        print(f"{name:56} {middle:8.1f} us/request   half of the rounds {low:.1f} to {high:.1f}", flush=True)
    return found


def cost(name, pids, url, script=None, seconds=SECONDS):
    """Microseconds of processor time per request, requests a second, and what wrk said."""
    before = processor_time(pids)
    out = wrk(url, seconds, script)
    spent = processor_time(pids) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    trouble = re.findall(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", out)
    if trouble:
        print(f"{name}: {' '.join(trouble)}", flush=True)
    return spent / requests * 1e6, requests / seconds, out


def measure(name, pids, url, script=None):
    wrk(url, 1, script)
    micros, rate, out = cost(name, pids, url, script)
    p99 = re.search(r"99%\s+(\S+)", out).group(1)
    print(f"{name:56} {rate:9.0f}/s {micros:8.1f} us/request   p99 {p99:>8}", flush=True)
    return micros, rate


def post(folder, name, body, content_type):
    (folder / f"{name}.body").write_text(body)
    script = folder / f"{name}.lua"
    script.write_text(
        f'local f = io.open("{folder}/{name}.body", "rb"); wrk.body = f:read("*a"); f:close()\n'
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{content_type}"\n'
    )
    return script
