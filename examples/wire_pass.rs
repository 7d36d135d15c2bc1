//! A pass-through of the wire alone, to measure it: `wire_pass LISTEN BACKEND [WORKERS]`.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use myelin::wire::listen::{self, Door, Worker};
use myelin::wire::tls::ClientTls;
use myelin::wire::{Client, ClientLimits, ClientRequest, Incoming, Reply, ServerLimits, Service, Url};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct PassThrough {
    client: Client,
    backend: Url,
}

impl Service for PassThrough {
    async fn serve(&self, incoming: Incoming) -> Reply {
        let url = Url {
            origin: self.backend.origin.clone(),
            path_and_query: incoming.target,
        };
        let mut request = ClientRequest::new(incoming.method, url);
        request.headers = incoming.headers;
        request.body = incoming.body;
        match self.client.send(request).await {
            Ok(response) => Reply {
                reason: response.reason,
                headers: response.headers,
                body: response.body,
                tunnel: response.tunnel,
                ..Reply::new(response.status)
            },
            Err(error) => Reply::text(error.status(), format!("{} {error}\n", error.code())),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, backend, rest @ ..] = arguments.as_slice() else {
        return Err("usage: wire_pass LISTEN BACKEND [WORKERS]".into());
    };
    let workers = rest.first().map_or(Ok(1), |workers| workers.parse())?;
    let listeners = listen::bind(address.parse()?, workers)?;
    let listeners: Arc<Vec<_>> = Arc::new(listeners.into_iter().map(|one| Mutex::new(Some(one))).collect());
    let door = Door::new(ServerLimits::default(), workers);
    let backend = Url::parse(backend)?;
    let handles = listen::spawn_workers(workers, None, move |index| {
        let listener = listeners[index].lock().ok().and_then(|mut one| one.take());
        let worker = Worker::new(&door);
        let backend = backend.clone();
        async move {
            let tls = ClientTls::new(None).map_err(std::io::Error::other)?;
            let service = Rc::new(PassThrough {
                client: Client::new(ClientLimits::default(), tls),
                backend,
            });
            let listener = listener.ok_or(std::io::ErrorKind::NotFound)?;
            listen::serve(listener, None, worker, service).await
        }
    })?;
    for handle in handles {
        let drained = handle.join().map_err(|_| "a worker panicked")??;
        if drained.cut > 0 {
            return Err(format!("{} connections were cut", drained.cut).into());
        }
    }
    Ok(())
}
