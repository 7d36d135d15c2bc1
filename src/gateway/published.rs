//! `/NAME?swagger.json` and `/NAME?swagger.yaml`: the definition of an API.

use crate::deployment::Deployment;
use crate::deployment::publish::{self, Notation};
use crate::flow::request::Request;
use crate::message::body::ByteStream;
use crate::wire::Reply;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

/// The answer, if the request asks for a definition and there is an API of that name.
pub fn answer(deployment: &Deployment, request: &Request, public_url: Option<&str>) -> Option<Reply> {
    let notation = Notation::asked(request.query()?)?;
    if request.method != Method::GET {
        return None;
    }
    let name = request.path().strip_prefix('/')?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    let mut apis = deployment.apis.iter();
    let api = apis.find(|api| api.broken.is_none() && !api.is_retired() && api.full_name() == *name)?;
    let own = format!("{}://{}", request.scheme, request.host());
    let text = publish::text(api, notation, public_url.unwrap_or(&own));
    let mut reply = Reply::new(StatusCode::OK);
    reply.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(notation.media_type()),
    );
    reply.body = ByteStream::from(Bytes::from(text));
    Some(reply)
}
