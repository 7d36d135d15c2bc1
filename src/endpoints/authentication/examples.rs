//! The examples of credentials, of TLS and of proxies, for the reference.

use crate::plan::Example;

const TOKEN: &str =
    "200\ncontent-type: application/json\n\n{\"access_token\": \"t0k3n\", \"expires_in\": 3600}";

pub const BASIC: Example = Example::new(
    "A name and a password for the backend",
    r#"<endpoint><http uri-template="http://backend/a"><authentication><basicAuth><username>anna</username><password>{$ctx:password}</password></basicAuth></authentication></http><property name="password" value="s3cret"/></endpoint>"#,
    "GET /\nauthorization: Bearer for-the-gateway",
    "turns\nbackend GET http://backend/a\nbackend header authorization = Basic YW5uYTpzM2NyZXQ=",
)
.backend("200");

pub const DIGEST: Example = Example::new(
    "A digest, after the backend has asked for it",
    r#"<endpoint><http uri-template="http://backend/a"><authentication><digest><username>anna</username><password>s3cret</password></digest></authentication></http></endpoint>"#,
    "GET /\nauthorization: Bearer for-the-gateway",
    "turns\nbackend GET http://backend/a\nbackend header authorization is not there",
)
.backend("200");

pub const API_KEY: Example = Example::new(
    "A key in the query",
    r#"<endpoint><http uri-template="http://backend/a?b=c"><authentication><apiKey name="key" in="query" value="k3y"/></authentication></http></endpoint>"#,
    "GET /",
    "turns\nbackend GET http://backend/a?b=c&key=k3y",
)
.backend("200");

pub const CLIENT_CREDENTIALS: Example = Example::new(
    "A token for the client itself",
    r#"<endpoint><http uri-template="http://backend/a"><authentication><oauth><clientCredentials><clientId>me</clientId><clientSecret>s3cret</clientSecret><tokenUrl>http://tokens/token</tokenUrl><authMode>payload</authMode><requestParameters><parameter name="scope">orders</parameter></requestParameters><customHeaders><header name="X-Tenant">one</header></customHeaders><connectionTimeout>2000</connectionTimeout><socketTimeout>5000</socketTimeout><proxyConfigs><proxyEnabled>true</proxyEnabled><proxyHost>proxy.intern</proxyHost><proxyPort>3128</proxyPort><proxyUsername>p</proxyUsername><proxyPassword>q</proxyPassword><proxyProtocol>http</proxyProtocol></proxyConfigs><tls ca="ca.pem" cert="client.pem" key="client.key" server-name="tokens.intern" pin="sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" verify="Strict"/></clientCredentials></oauth></authentication></http></endpoint>"#,
    "GET /",
    "turns\nbackend POST http://tokens/token\nbackend header x-tenant = one\nbackend body grant_type=client_credentials&client_id=me&client_secret=s3cret&scope=orders\n\
     backend GET http://backend/a\nbackend header authorization = Bearer t0k3n",
)
.backend(TOKEN);

pub const PASSWORD_CREDENTIALS: Example = Example::new(
    "A token for a user",
    r#"<endpoint><http uri-template="http://backend/a"><authentication><oauth><passwordCredentials><username>anna</username><password>p</password><clientId>me</clientId><clientSecret>s3cret</clientSecret><tokenUrl>http://tokens/token</tokenUrl><authMode>header</authMode><requestParameters><parameter name="scope">orders</parameter></requestParameters><customHeaders><header name="X-Tenant">one</header></customHeaders><connectionTimeout>2000</connectionTimeout><socketTimeout>5000</socketTimeout><proxyConfigs><proxyEnabled>true</proxyEnabled><proxyHost>proxy.intern</proxyHost><proxyPort>3128</proxyPort><proxyUsername>p</proxyUsername><proxyPassword>q</proxyPassword><proxyProtocol>http</proxyProtocol></proxyConfigs><tls ca="ca.pem" cert="client.pem" key="client.key" server-name="tokens.intern" pin="sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" verify="DefaultAndLocalhost"/></passwordCredentials></oauth></authentication></http></endpoint>"#,
    "GET /",
    "turns\nbackend POST http://tokens/token\nbackend header authorization = Basic bWU6czNjcmV0\nbackend body grant_type=password&username=anna&password=p&scope=orders\n\
     backend GET http://backend/a\nbackend header authorization = Bearer t0k3n",
)
.backend(TOKEN);

pub const AUTHORIZATION_CODE: Example = Example::new(
    "A token that somebody has authorized before",
    r#"<endpoint><http uri-template="http://backend/a"><authentication><oauth><authorizationCode><clientId>me</clientId><clientSecret>s3cret</clientSecret><refreshToken>r3fresh</refreshToken><tokenUrl>http://tokens/token</tokenUrl><authMode>header</authMode><requestParameters><parameter name="scope">orders</parameter></requestParameters><customHeaders><header name="X-Tenant">one</header></customHeaders><connectionTimeout>2000</connectionTimeout><socketTimeout>5000</socketTimeout><proxyConfigs><proxyEnabled>true</proxyEnabled><proxyHost>proxy.intern</proxyHost><proxyPort>3128</proxyPort><proxyUsername>p</proxyUsername><proxyPassword>q</proxyPassword><proxyProtocol>http</proxyProtocol></proxyConfigs><tls ca="ca.pem" cert="client.pem" key="client.key" server-name="tokens.intern" pin="sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" verify="Default"/></authorizationCode></oauth></authentication></http></endpoint>"#,
    "GET /",
    "turns\nbackend POST http://tokens/token\nbackend body grant_type=refresh_token&refresh_token=r3fresh&scope=orders\n\
     backend GET http://backend/a\nbackend header authorization = Bearer t0k3n",
)
.backend(TOKEN);

pub const MUTUAL_TLS: Example = Example::new(
    "A backend of our own authority, which wants to know who calls, by way of a proxy",
    r#"<endpoint><http uri-template="https://backend/a"><tls ca="ca.pem" cert="client.pem" key="client.key" server-name="orders.intern" pin="sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" verify="Strict"/><proxy url="http://proxy.intern:3128" no-proxy="localhost, .corp"/></http></endpoint>"#,
    "GET /",
    "turns\nbackend GET https://backend/a",
)
.backend("200");
