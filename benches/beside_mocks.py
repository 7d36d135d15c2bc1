#!/usr/bin/env python3
"""A mock's small JSON answer, computed by a script from the path: Myelin in both modes, nginx with njs, Mockoon, WireMock; on one core, in one run.

    cargo build --release && benches/beside_mocks.py [seconds]

Needs Debian's nginx, libnginx-mod-http-js and wrk, a JRE, and npm (which brings @mockoon/cli and wiremock, into MOCKS or a folder of its own).
Each server has core 0 to itself, with all its processes and threads; wrk has core 1 and 64 connections. Processor time is what /proc says
that the server and its workers used, divided by the requests answered.

Each is asked for one pet again and again, which Myelin answers from memory, and for another pet each time, so that every answer is a run of the script.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from kit import children, free_port, measure, myelin, nginx, wait, wrk

MOCK = """<api xmlns="http://ws.apache.org/ns/synapse" name="Pets" context="/pet">
  <resource methods="GET" uri-template="/{petId}">
    <prototype><![CDATA[
      mc.setProperty("CONTENT_TYPE", "application/json");
      mc.setPayloadJSON({id: Number(mc.getProperty("uri.var.petId")), name: "Rex", status: "available"});
    ]]></prototype>
  </resource>
</api>
"""
NJS = """function pet(request) {
    request.headersOut["Content-Type"] = "application/json";
    request.return(200, JSON.stringify({id: Number(request.uri.split("/").pop()), name: "Rex", status: "available"}));
}
export default {pet};
"""
WIREMOCK = {
    "request": {"method": "GET", "urlPathPattern": "/pet/.*"},
    "response": {
        "status": 200,
        "headers": {"Content-Type": "application/json"},
        "body": '{"id":{{request.pathSegments.[1]}},"name":"Rex","status":"available"}',
        "transformers": ["response-template"],
    },
}


def mockoon(port):
    answer = {
        "uuid": "answer", "body": "{\"id\":{{urlParam 'petId'}},\"name\":\"Rex\",\"status\":\"available\"}", "latency": 0, "statusCode": 200,
        "label": "", "headers": [{"key": "Content-Type", "value": "application/json"}], "bodyType": "INLINE", "filePath": "",
        "databucketID": "", "sendFileAsBody": False, "rules": [], "rulesOperator": "OR", "disableTemplating": False, "fallbackTo404": False,
        "default": True, "crudKey": "id", "callbacks": [],
    }
    route = {
        "uuid": "route", "type": "http", "documentation": "", "method": "get", "endpoint": "pet/:petId", "responses": [answer],
        "responseMode": None, "streamingMode": None, "streamingInterval": 0,
    }
    return {
        "uuid": "mock", "lastMigration": 33, "name": "pets", "endpointPrefix": "", "latency": 0, "port": port, "hostname": "127.0.0.1",
        "folders": [], "routes": [route], "rootChildren": [{"type": "route", "uuid": "route"}], "proxyMode": False, "proxyHost": "",
        "proxyRemovePrefix": False, "tlsOptions": {"enabled": False, "type": "CERT", "pfxPath": "", "certPath": "", "keyPath": "",
                                                   "caPath": "", "passphrase": ""},
        "cors": False, "headers": [], "proxyReqHeaders": [], "proxyResHeaders": [], "data": [], "callbacks": [],
    }


def on_core_0(command):
    return subprocess.Popen(
        ["taskset", "-c", "0", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def main():
    folder = Path(tempfile.mkdtemp(prefix="myelin-mocks-"))
    packages = Path(os.environ.get("MOCKS", folder))
    if not (packages / "node_modules/.bin/wiremock").exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", packages, "@mockoon/cli", "wiremock"], check=True)
    tools = packages / "node_modules/.bin"
    (folder / "mock").mkdir()
    (folder / "mock/pets.xml").write_text(MOCK)
    (folder / "pet.js").write_text(NJS)

    def with_nginx(port):
        return nginx(
            folder, "njs", 0, f"js_path {folder}; js_import pet.js; server {{ listen 127.0.0.1:{port}; location /pet/ {{ js_content pet.pet; }} }}",
            modules="load_module /usr/lib/nginx/modules/ngx_http_js_module.so;")

    def with_mockoon(port):
        (folder / "mockoon.json").write_text(json.dumps(mockoon(port)))
        return on_core_0([tools / "mockoon-cli", "start", "--data", folder / "mockoon.json", "--disable-log-to-file"])

    def with_wiremock(port):
        (folder / "wiremock/mappings").mkdir(parents=True)
        (folder / "wiremock/mappings/pet.json").write_text(json.dumps(WIREMOCK))
        return on_core_0([
            tools / "wiremock", "--port", port, "--bind-address", "127.0.0.1", "--root-dir", folder / "wiremock", "--no-request-journal",
            "--disable-banner", "--disable-request-logging"])

    servers = {
        "myelin, scripts in worker processes": lambda port: myelin(folder / "mock", 0, port, MYELIN_SCRIPT_ISOLATION="process"),
        "myelin, scripts in threads": lambda port: myelin(folder / "mock", 0, port, MYELIN_SCRIPT_ISOLATION="thread"),
        "nginx with njs": with_nginx,
        "Mockoon": with_mockoon,
        "WireMock": with_wiremock,
    }
    changing = folder / "changing.lua"
    changing.write_text('local n = 0\nfunction request() n = n + 1; return wrk.format("GET", "/pet/" .. n) end\n')
    asked = {"the same pet": None, "another pet each time": changing}
    rates, costs = {}, {}
    try:
        for name, start in servers.items():
            port = free_port()
            process = start(port)
            try:
                wait(port)
                url = f"http://127.0.0.1:{port}/pet/7"
                answer = subprocess.run(["curl", "-s", url], capture_output=True, text=True, check=True).stdout
                assert json.loads(answer) == {"id": 7, "name": "Rex", "status": "available"}, f"{name}: {answer}"
                # A virtual machine has to have compiled what it runs.
                wrk(url, 5, None)
                for what, script in asked.items():
                    pids = [process.pid, *children(process.pid)]
                    costs[name, what], rates[name, what] = measure(f"{name}, {what}", pids, url, script)
            finally:
                below = children(process.pid)
                process.send_signal(signal.SIGTERM)
                for pid in below:
                    try:
                        os.kill(pid, signal.SIGTERM)
                    except ProcessLookupError:
                        pass
                process.wait()
        ours = list(servers)[:2]
        for mode in ours:
            for what in asked:
                print(f"{mode}, {what}: {rates[mode, what] / rates['Mockoon', what]:.1f} times Mockoon's requests a second, "
                      f"{rates[mode, what] / rates['WireMock', what]:.1f} times WireMock's, "
                      f"{costs[mode, what] / costs['nginx with njs', what]:.2f} of njs's processor time")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
