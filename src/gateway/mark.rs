//! The mark on requests to the gateway's own management: an API whose endpoint leads there must not reach it with the gateway's rights.

use super::Shared;
use crate::flow::runtime::Backends;
use crate::wire::Url;
use crate::wire::client::{Client, ClientRequest, ClientResponse, SendError};
use http::HeaderMap;
use http::header::{HeaderValue, VIA};
use std::pin::Pin;
use std::sync::Arc;

/// What the management refuses.
const MARK: &str = "1.1 myelin";

/// The way to backends, with an eye on the way back in.
pub struct Marking {
    pub client: Client,
    pub shared: Arc<Shared>,
}

impl Backends for Marking {
    /// As `async_trait` would have it, but for the request, which goes into one future instead of two.
    fn send<'here, 'sent>(
        &'here self,
        mut request: ClientRequest,
    ) -> Pin<Box<dyn Future<Output = Result<ClientResponse, SendError>> + 'sent>>
    where
        'here: 'sent,
        Self: 'sent,
    {
        if self.marks(&request.url) {
            mark(&mut request.headers);
        }
        Box::pin(self.client.send(request))
    }

    fn straight(&self, url: &Url) -> Option<&Client> {
        (!self.marks(url)).then_some(&self.client)
    }
}

impl Marking {
    /// By its port: under how many names this machine is known, nobody knows. A stranger's server sees a harmless header.
    fn marks(&self, url: &Url) -> bool {
        let admin = self.shared.admin.get();
        admin.is_some_and(|admin| admin.port() == url.origin.port)
    }
}

fn mark(headers: &mut HeaderMap) {
    headers.append(VIA, HeaderValue::from_static(MARK));
}

/// Did this request come by way of a gateway?
pub fn is_marked(headers: &HeaderMap) -> bool {
    headers.get_all(VIA).iter().any(|via| {
        String::from_utf8_lossy(via.as_bytes())
            .split(',')
            .any(|hop| hop.trim().eq_ignore_ascii_case(MARK))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_other_hops() {
        let mut headers = HeaderMap::new();
        headers.append(VIA, HeaderValue::from_static("1.0 fred, 1.1 other (Apache)"));
        assert!(!is_marked(&headers));
        mark(&mut headers);
        assert!(is_marked(&headers));
        let mut one = HeaderMap::new();
        one.append(VIA, HeaderValue::from_static("1.0 fred,1.1 Myelin"));
        assert!(is_marked(&one));
    }
}
