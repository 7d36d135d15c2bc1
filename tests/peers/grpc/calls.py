"""Makes the same calls directly and through a gateway, and compares how they end."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
import shapes_pb2
import shapes_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

Text = shapes_pb2.Text
SERVICE = shapes_pb2.DESCRIPTOR.services_by_name["Shapes"].full_name
MIB = 1 << 20


# The backend


class Shapes(shapes_pb2_grpc.ShapesServicer):
    def __init__(self):
        self.cancelled = 0

    def Unary(self, request, context):
        left = context.time_remaining()
        echoed = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
        if echoed:
            context.send_initial_metadata(echoed)
        context.set_trailing_metadata((("x-after", "kept"), ("x-after-bin", b"\x00\xff")) if request.text != "bare" else ())
        if request.wait_millis:
            time.sleep(request.wait_millis / 1000)
        if request.status:
            code = next(code for code in grpc.StatusCode if code.value[0] == request.status)
            context.abort(code, request.text)
        if request.text == "deadline":
            return Text(text="some" if left is not None and left < 31 else "none")
        return Text(text=request.text or "x" * request.count)

    def Down(self, request, context):
        for number in range(request.count):
            # The first comes at once.
            if number and request.wait_millis:
                time.sleep(request.wait_millis / 1000)
            yield Text(text=request.text, count=number)
        if request.status:
            context.abort(grpc.StatusCode.ABORTED, "in the middle")

    def Up(self, requests, context):
        texts = [request.text for request in requests]
        return Text(text=",".join(texts), count=len(texts))

    def Both(self, requests, context):
        # grpcio may tell a method that its client said all it had to say, or not go on with it at all, where the client gave up.
        # One that does not end by itself in the time of the test is sure to have been cancelled when it has ended.
        endless = ("x-listens", "no") in context.invocation_metadata()
        ended = threading.Event()

        def end():
            self.cancelled += endless
            ended.set()

        context.add_callback(end)
        yield Text(text="hello")
        if endless:
            ended.wait(20)
            return
        for request in requests:
            yield Text(text=request.text.upper())

    def Cancelled(self, request, context):
        return Text(count=self.cancelled)


def serve(work):
    server = grpc.server(futures.ThreadPoolExecutor(64))
    shapes_pb2_grpc.add_ShapesServicer_to_server(Shapes(), server)
    states = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server)
    with open(f"{work}/key.pem", "rb") as key, open(f"{work}/cert.pem", "rb") as certificate:
        credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
    ports = server.add_insecure_port("127.0.0.1:0"), server.add_secure_port("localhost:0", credentials)
    server.start()
    return server, states, ports


# The gateway

CONFIGURATION = """<definitions xmlns="http://ws.apache.org/ns/synapse">
  <api name="Shapes" context="/peer.Shapes">
    <resource methods="POST" uri-template="/{{method}}">
      <inSequence><send><endpoint><http uri-template="{backend}"/></endpoint></send></inSequence>
    </resource>
  </api>
  <api name="Health" context="/grpc.health.v1.Health">
    <resource methods="POST" uri-template="/Check"><inSequence><call><endpoint><address uri="{backend}"/></endpoint></call><respond/></inSequence></resource>
    <resource methods="POST" uri-template="/Watch"><inSequence><send><endpoint><address uri="{backend}"/></endpoint></send></inSequence></resource>
  </api>
  <api name="Reflection" context="/">
    <resource methods="POST" uri-template="/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo">
      <inSequence><send><endpoint><http method="post" uri-template="{backend}"/></endpoint></send></inSequence>
    </resource>
  </api>
</definitions>
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    def __init__(self, binary, work, backend):
        self.folder = tempfile.mkdtemp(dir=work)
        with open(f"{self.folder}/calls.xml", "w") as file:
            file.write(CONFIGURATION.format(backend=backend))
        self.plain, self.tls = free_port(), free_port()
        command = [binary, "run", "--listen", f"127.0.0.1:{self.plain}", "--listen-tls", f"127.0.0.1:{self.tls}", "--admin", "127.0.0.1:0"]
        command += ["--tls-cert", f"{work}/cert.pem", "--tls-key", f"{work}/key.pem", "--no-watch", self.folder]
        environment = {**os.environ, "SSL_CERT_FILE": f"{work}/ca.pem", "MYELIN_LOG": "warn", "XDG_RUNTIME_DIR": self.folder}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=open(f"{self.folder}/talk.log", "w"), text=True)
        for line in self.process.stdout:
            if "curl " in line:
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        sys.exit("the gateway ended before it was ready:\n" + open(f"{self.folder}/talk.log").read())

    def end(self):
        self.process.kill()
        self.process.wait()


# The calls


def metadata(pairs):
    return sorted((key, value) for key, value in pairs or () if key.startswith("x-"))


def ending(call):
    return {
        "code": call.code().name,
        "details": call.details(),
        "first": metadata(call.initial_metadata()),
        "last": metadata(call.trailing_metadata()),
    }


def unary(request, method="Unary", same_details=True, timeout=30, **options):
    def run(channel):
        call = getattr(shapes_pb2_grpc.ShapesStub(channel), method)
        try:
            answer, made = call.with_call(request, timeout=timeout, **options)
            return {"answer": answer, **ending(made)}
        except grpc.RpcError as error:
            told = ending(error)
            return told if same_details else {"code": told["code"]}

    return run


def streaming(make):
    def run(channel):
        answers, call = [], make(shapes_pb2_grpc.ShapesStub(channel))
        try:
            answers.extend(call)
        except grpc.RpcError:
            pass
        return {"answers": answers, **ending(call)}

    return run


def up(count):
    def run(channel):
        texts = (Text(text=str(number)) for number in range(count))
        answer, made = shapes_pb2_grpc.ShapesStub(channel).Up.with_call(texts, timeout=30)
        return {"answer": answer, **ending(made)}

    return run


def lockstep(channel):
    """Says the next only when it has heard the answer to the last."""
    heard = threading.Semaphore(0)

    def say():
        for word in ["a", "b", "c"]:
            heard.acquire()
            yield Text(text=word)
        heard.acquire()

    answers, call = [], shapes_pb2_grpc.ShapesStub(channel).Both(say(), timeout=30)
    for answer in call:
        answers.append(answer)
        heard.release()
    return {"answers": answers, **ending(call)}


def cancelled(channel):
    """The backend learns that a client gave up. How soon is asked in tests/it/grpc.rs; here a busy machine may take its time."""
    stub = shapes_pb2_grpc.ShapesStub(channel)
    before = stub.Cancelled(Text()).count
    quiet = threading.Event()

    def say():
        quiet.wait(20)
        yield from ()

    call = stub.Both(say(), metadata=[("x-listens", "no")])
    first = next(call)
    call.cancel()
    deadline = time.monotonic() + 15
    while stub.Cancelled(Text()).count == before and time.monotonic() < deadline:
        time.sleep(0.01)
    learnt = stub.Cancelled(Text()).count > before
    quiet.set()
    return {"first": first, "learnt": learnt, "code": call.code().name}


def slow_reader(channel):
    call = shapes_pb2_grpc.ShapesStub(channel).Down(Text(text="x" * MIB, count=12), timeout=60)
    total = 0
    for answer in call:
        total += len(answer.text)
        time.sleep(0.02)
    return {"total": total, **ending(call)}


def many(channel):
    stub = shapes_pb2_grpc.ShapesStub(channel)
    calls = [stub.Unary.future(Text(text=str(number)), timeout=30) for number in range(300)]
    return {"answers": [call.result().text for call in calls]}


def all_statuses(channel):
    stub, told = shapes_pb2_grpc.ShapesStub(channel), []
    for status in range(1, 17):
        try:
            stub.Unary(Text(text=f"status {status}", status=status), timeout=30)
        except grpc.RpcError as error:
            told.append((error.code().name, error.details()))
    return {"told": told}


def is_healthy(service):
    def run(channel):
        try:
            answer, made = health_pb2_grpc.HealthStub(channel).Check.with_call(health_pb2.HealthCheckRequest(service=service), timeout=30)
            return {"answer": answer, **ending(made)}
        except grpc.RpcError as error:
            return ending(error)

    return run


def watch(states):
    def run(channel):
        states.set("watched", health_pb2.HealthCheckResponse.SERVING)
        call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="watched"))
        seen = [next(call).status]
        states.set("watched", health_pb2.HealthCheckResponse.NOT_SERVING)
        seen.append(next(call).status)
        call.cancel()
        return {"seen": seen, "code": call.code().name}

    return run


def services(channel):
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]))
    return {"answers": list(call), **ending(call)}


def unknown_service(channel):
    call = channel.unary_unary("/nobody.Knows/This", request_serializer=Text.SerializeToString, response_deserializer=Text.FromString)
    try:
        call(Text(), timeout=30)
        return {"code": "OK"}
    except grpc.RpcError as error:
        return {"code": error.code().name}


def cases(states):
    given = (("x-one", "1"), ("x-many", "a"), ("x-many", "b"), ("x-raw-bin", b"\x00\x01\xfe"), ("x-long", "y" * 6000))
    return {
        "one call": unary(Text(text="hello")),
        "an empty message": unary(Text()),
        "no metadata": unary(Text(text="bare")),
        "three megabytes down": unary(Text(count=3 * MIB)),
        "three megabytes up and down": unary(Text(text="x" * 3 * MIB)),
        "a message over the limit": unary(Text(text="x" * 5 * MIB), same_details=False),
        "an answer over the limit": unary(Text(count=5 * MIB), same_details=False),
        "a status with words": unary(Text(text="50% of Zoë\nis gone", status=5)),
        "every status": all_statuses,
        "metadata both ways": unary(Text(text="hello"), metadata=given),
        "packed messages": unary(Text(text="z" * 100_000), compression=grpc.Compression.Gzip),
        "the deadline is told": unary(Text(text="deadline")),
        "the deadline comes": unary(Text(text="late", wait_millis=1500), timeout=0.3, same_details=False),
        # Long before it the first answer is there, long before the second it comes: how many are there is no matter of speed.
        "the deadline comes in a stream": streaming(lambda stub: stub.Down(Text(text="x", count=2, wait_millis=6000), timeout=3)),
        "a stream down": streaming(lambda stub: stub.Down(Text(text="x", count=100), timeout=30)),
        "an empty stream down": streaming(lambda stub: stub.Down(Text(), timeout=30)),
        "a stream that ends badly": streaming(lambda stub: stub.Down(Text(text="x", count=3, status=10), timeout=30)),
        "a stream up": up(100),
        "an empty stream up": up(0),
        "both at once": streaming(lambda stub: stub.Both((Text(text=f"word {number}") for number in range(100)), timeout=30)),
        "both in lockstep": lockstep,
        "a client that gives up": cancelled,
        "a client that reads slowly": slow_reader,
        "three hundred calls at once": many,
        "a method that is not written": unary(Text(), "Unwritten"),
        "a service that nobody knows": unknown_service,
        "health": is_healthy(""),
        "health of a stranger": is_healthy("stranger"),
        "health watched": watch(states),
        "the services are listed": services,
    }


def main():
    binary, work = sys.argv[1:]
    server, states, (plain, tls) = serve(work)
    with open(f"{work}/ca.pem", "rb") as roots:
        credentials = grpc.ssl_channel_credentials(roots.read())
    failed = passed = 0
    for name, backend, open_channel in [
        ("h2c", f"http://127.0.0.1:{plain}", lambda port: grpc.insecure_channel(f"127.0.0.1:{port}")),
        ("TLS", f"https://localhost:{tls}", lambda port: grpc.secure_channel(f"localhost:{port}", credentials)),
    ]:
        gateway = Gateway(binary, work, backend)
        direct = open_channel(plain if name == "h2c" else tls)
        through = open_channel(gateway.plain if name == "h2c" else gateway.tls)
        for case, run in cases(states).items():
            results = []
            for channel in direct, through:
                try:
                    results.append(run(channel))
                except Exception as error:
                    results.append({"raised": repr(error)})
            for result in results:
                # Whether the client or the server notices first that the time is over is a race, and each has its own words.
                if result.get("code") == "DEADLINE_EXCEEDED":
                    result.pop("details", None)
            if results[0] == results[1] and "raised" not in results[0] and results[0].get("learnt", True):
                passed += 1
            else:
                failed += 1
                print(f"{name}: {case}\n  direct  {str(results[0])[:600]}\n  through {str(results[1])[:600]}")
        direct.close()
        through.close()
        if gateway.process.poll() is not None:
            failed += 1
            print(f"{name}: the gateway ended by itself")
        gateway.end()
        with open(f"{gateway.folder}/talk.log") as log:
            told = log.read()
        if os.environ.get("SHOW_LOG") or "panic" in told:
            print(told)
    server.stop(0)
    print(f"gRPC: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
