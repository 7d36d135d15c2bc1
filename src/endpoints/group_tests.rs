//! What groups do, message by message.

use super::ALL;
use crate::flow::delivery::through;
use crate::flow::health::State;
use crate::flow::testing::{Scripted, ScriptedBackend, exchange, wait};
use crate::flow::{Catalog, Endpoint, Runtime, Worker};
use crate::message::properties::Value;
use crate::plan::{Kinds, testing};
use crate::wire::client::{Reached, SendErrorKind};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A group that is asked again and again, and remembers.
struct Trial {
    group: Arc<dyn Endpoint>,
    catalog: Arc<Catalog>,
    runtime: RefCell<Option<Arc<Runtime>>>,
}

const REFUSED: &str = "refused";
const BROKEN: &str = "broken";
const SILENT: &str = "silent";

fn trial(endpoint: &str) -> Trial {
    trial_beside(endpoint, "")
}

fn trial_beside(endpoint: &str, beside: &str) -> Trial {
    let kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    let planned = testing::endpoint(kinds, endpoint, beside);
    assert_eq!(planned.told(), Vec::<String>::new());
    Trial {
        group: planned.what.expect("it is sound"),
        catalog: Arc::new(planned.catalog),
        runtime: RefCell::default(),
    }
}

impl Trial {
    /// Sends a message to backends that behave as the words say (`refused`, `broken`, `silent`, or an answer). Gives what came of it, and the
    /// paths and bodies that backends saw.
    async fn ask(&self, request: &str, backends: &[&str]) -> (String, String) {
        let script = backends.iter().map(|backend| match *backend {
            REFUSED => Scripted::fails(SendErrorKind::Connect, Reached::NothingSent),
            BROKEN => Scripted::fails(SendErrorKind::Closed, Reached::Unknown),
            SILENT => Scripted::Silent,
            answer => Scripted::parse(answer),
        });
        let backend = ScriptedBackend::new(script);
        let mut exchange = exchange(request, Catalog::default(), Rc::clone(&backend));
        exchange.catalog = Arc::clone(&self.catalog);
        let runtime = Arc::clone(
            self.runtime
                .borrow_mut()
                .get_or_insert_with(|| Arc::clone(&exchange.worker.runtime)),
        );
        exchange.worker = Rc::new(Worker {
            errands: Default::default(),
            client: backend.clone(),
            runtime,
            scripts: Rc::clone(&exchange.worker.scripts),
        });
        let outcome = match self.group.deliver(&mut exchange).await {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(fault) => match fault.retry_after {
                Some(after) => format!("{} retry after {} ms", fault.code, after.as_millis()),
                None => fault.code.to_string(),
            },
        };
        let seen = backend.seen();
        let seen = seen.iter().map(|seen| {
            let path = seen.url.trim_start_matches("http://");
            match seen.body.is_empty() {
                true if seen.headers.contains_key("x-own") => format!("{path}+x-own"),
                true => path.to_owned(),
                false => format!("{path}={}", String::from_utf8_lossy(&seen.body)),
            }
        });
        (outcome, seen.collect::<Vec<_>>().join(" "))
    }

    async fn check(&self, request: &str, backends: &[&str], outcome: &str, seen: &str) {
        let got = self.ask(request, backends).await;
        assert_eq!(
            got,
            (outcome.to_owned(), seen.to_owned()),
            "{request} {backends:?}"
        );
    }
}

fn group(open: &str, close: &str, inside: &str) -> String {
    let child = |host: &str| {
        format!(r#"<endpoint name="{host}"><address uri="http://{host}/">{inside}</address></endpoint>"#)
    };
    format!(
        "<endpoint name=\"group\">{open}{}{}{}{close}</endpoint>",
        child("a"),
        child("b"),
        child("c")
    )
}

fn failover(attributes: &str, inside: &str) -> Trial {
    trial(&group(&format!("<failover {attributes}>"), "</failover>", inside))
}

fn balance(attributes: &str, inside: &str) -> Trial {
    trial(&group(
        &format!("<loadbalance {attributes}>"),
        "</loadbalance>",
        inside,
    ))
}

#[test]
fn the_next_child_gets_the_whole_message_when_one_cannot_be_reached() {
    wait(async {
        let group = failover("", "");
        group
            .check("POST /\n\nseven", &[REFUSED, "200"], "200", "a/=seven b/=seven")
            .await;
        // The first one is suspended by now.
        group.check("POST /\n\neight", &["200"], "200", "b/=eight").await;
        tokio::time::advance(Duration::from_secs(30)).await;
        group.check("POST /\n\nnine", &["200"], "200", "a/=nine").await;
    });
}

#[test]
fn no_child_is_asked_twice_for_one_message() {
    wait(async {
        let never = "<suspendOnFailure><errorCodes>-1</errorCodes></suspendOnFailure><markForSuspension><errorCodes>-1</errorCodes></markForSuspension>";
        let group = failover("", never);
        group.check("GET /", &[REFUSED], "303000", "a/ b/ c/").await;
        group.check("GET /", &[REFUSED], "303000", "a/ b/ c/").await;
    });
}

#[test]
fn while_all_are_suspended_nothing_is_sent_and_the_fault_says_until_when() {
    wait(async {
        let group = failover(
            "",
            "<suspendOnFailure><initialDuration>1000</initialDuration></suspendOnFailure>",
        );
        group.check("GET /", &[REFUSED], "303000", "a/ b/ c/").await;
        tokio::time::advance(Duration::from_millis(400)).await;
        group
            .check("GET /", &["200"], "303000 retry after 600 ms", "")
            .await;
        tokio::time::advance(Duration::from_millis(600)).await;
        group.check("GET /", &["200"], "200", "a/").await;
    });
}

/// Nobody waits, and yet the message is not lost with the first child.
#[test]
fn a_message_that_is_sent_one_way_finds_the_child_that_works() {
    wait(async {
        let child =
            |host: &str| format!(r#"<endpoint name="{host}"><address uri="http://{host}/"/></endpoint>"#);
        let inside = format!("<failover>{}{}</failover>", child("a"), child("b"));
        for endpoint in [
            format!("<endpoint>{inside}</endpoint>"),
            r#"<endpoint key="group"/>"#.to_owned(),
            r#"<endpoint key-expression="'group'"/>"#.to_owned(),
        ] {
            let kinds = Kinds {
                mediators: &[],
                endpoints: ALL,
            };
            let beside = format!(r#"<endpoint name="group">{inside}</endpoint>"#);
            let planned = testing::endpoint(kinds, &endpoint, &beside);
            let group = planned.what.expect("it is sound");
            let backend = ScriptedBackend::new([
                Scripted::fails(SendErrorKind::Closed, Reached::NothingSent),
                Scripted::parse("200"),
            ]);
            let mut exchange = exchange("POST /\n\nseven", planned.catalog, Rc::clone(&backend));
            exchange.properties.set("OUT_ONLY", Value::text("true"));
            let answer = through(&mut exchange, Some(&group)).await;
            assert_eq!(answer.map(|answer| answer.status.as_u16()).ok(), Some(202));
            exchange.worker.errands.finish().await;
            let seen = backend.seen();
            let seen: Vec<_> = seen
                .iter()
                .map(|seen| (seen.url.as_str(), &seen.body[..]))
                .collect();
            assert_eq!(
                seen,
                [("http://a/", &b"seven"[..]), ("http://b/", b"seven")],
                "{endpoint}"
            );
        }
    });
}

#[test]
fn what_comes_of_a_message_that_is_sent_one_way_changes_the_state_when_it_is_known() {
    wait(async {
        let kinds = Kinds {
            mediators: &[],
            endpoints: ALL,
        };
        let text = r#"<endpoint name="a"><address uri="http://a/"/></endpoint>"#;
        let planned = testing::endpoint(kinds, text, "");
        let endpoint = planned.what.expect("it is sound");
        let backend = ScriptedBackend::new([
            Scripted::fails(SendErrorKind::Connect, Reached::NothingSent),
            Scripted::parse("200"),
        ]);
        let mut exchange = exchange("POST /\n\nseven", planned.catalog, backend);
        exchange.properties.set("OUT_ONLY", Value::text("true"));
        for state in [State::Suspended, State::Active] {
            assert!(through(&mut exchange, Some(&endpoint)).await.is_ok());
            exchange.worker.errands.finish().await;
            let health = exchange.worker.runtime.health.find("a").expect("it is there");
            assert_eq!(health.state(), state);
            tokio::time::advance(Duration::from_secs(30)).await;
        }
    });
}

/// Whatever stands between the group and the endpoint that sets it.
#[test]
fn a_header_of_one_child_is_not_sent_to_the_next() {
    wait(async {
        let own = r#"<property name="x-own" value="1" scope="transport"/>"#;
        let address = r#"<address uri="http://a/"/>"#;
        for first in [
            format!("<endpoint>{address}{own}</endpoint>"),
            format!(
                "<endpoint><keytype><production><endpoint>{address}{own}</endpoint></production></keytype></endpoint>"
            ),
            format!("<endpoint><failover><endpoint>{address}</endpoint></failover>{own}</endpoint>"),
            r#"<endpoint key-expression="'with-own'"/>"#.to_owned(),
        ] {
            let second = r#"<endpoint><address uri="http://b/"/></endpoint>"#;
            let beside = format!(r#"<endpoint name="with-own">{address}{own}</endpoint>"#);
            let group = trial_beside(
                &format!("<endpoint><failover>{first}{second}</failover></endpoint>"),
                &beside,
            );
            group
                .check("GET /", &[REFUSED, "200"], "200", "a/+x-own b/")
                .await;
        }
    });
}

#[test]
fn a_post_that_may_have_been_acted_upon_is_not_sent_again() {
    wait(async {
        failover("", "")
            .check("POST /\n\nx", &[BROKEN, "200"], "101505", "a/=x")
            .await;
        failover("", "")
            .check("GET /", &[BROKEN, "200"], "200", "a/ b/")
            .await;
        failover("", "")
            .check("POST /\n\nx", &[SILENT, "200"], "101504", "a/=x")
            .await;
        failover("", "")
            .check("PUT /\n\nx", &[SILENT, "200"], "200", "a/=x b/=x")
            .await;
        let both = [BROKEN, "200"];
        failover("retryOn='reset'", "")
            .check("POST /\n\nx", &both, "200", "a/=x b/=x")
            .await;
        let enabled = "<retryConfig><enabledErrorCodes>101505</enabledErrorCodes></retryConfig>";
        failover("", enabled)
            .check("POST /\n\nx", &both, "200", "a/=x b/=x")
            .await;
    });
}

#[test]
fn why_no_other_child_was_asked_is_told() {
    wait(async {
        let group = failover("", "").group;
        let broken = Scripted::fails(SendErrorKind::Closed, Reached::Unknown);
        let mut exchange = exchange("POST /\n\nx", Catalog::default(), ScriptedBackend::new([broken]));
        let fault = group.deliver(&mut exchange).await.err().expect("it is broken");
        let detail = fault.detail.clone().unwrap_or_default();
        let why = "; no other child was asked, because this one may have acted on the message already";
        assert!(detail.ends_with(why), "{detail}");
    });
}

#[test]
fn a_code_that_is_disabled_ends_the_search() {
    wait(async {
        let disabled = "<retryConfig><disabledErrorCodes>101503</disabledErrorCodes></retryConfig>";
        failover("", disabled)
            .check("GET /", &[REFUSED, "200"], "303000", "a/")
            .await;
        let enabled = "<retryConfig><enabledErrorCodes>101504</enabledErrorCodes></retryConfig>";
        failover("", enabled)
            .check("GET /", &[REFUSED, "200"], "303000", "a/")
            .await;
    });
}

#[test]
fn statuses_are_answers_unless_they_are_listed() {
    wait(async {
        failover("", "").check("GET /", &["503"], "503", "a/").await;
        let group = failover("retryOn='503 5xx'", "");
        group
            .check("POST /\n\nx", &["503", "200"], "200", "a/=x b/=x")
            .await;
        // The last one's answer is better than none.
        group.check("GET /", &["500"], "500", "a/ b/ c/").await;
    });
}

#[test]
fn a_sticky_group_stays_with_the_child_that_works() {
    wait(async {
        let group = failover(
            "dynamic='false'",
            "<suspendOnFailure><initialDuration>1000</initialDuration></suspendOnFailure>",
        );
        group.check("GET /", &[REFUSED, "200"], "200", "a/ b/").await;
        tokio::time::advance(Duration::from_secs(2)).await;
        group.check("GET /", &["200"], "200", "b/").await;
        group.check("GET /", &[REFUSED, "200"], "200", "b/ a/").await;
        group.check("GET /", &["200"], "200", "a/").await;
    });
}

#[test]
fn backups_take_turns_behind_the_first_child() {
    wait(async {
        let group = failover("selection='round-robin'", "");
        group.check("GET /", &[REFUSED, "200"], "200", "a/ b/").await;
        group.check("GET /", &["200"], "200", "c/").await;
        group.check("GET /", &["200"], "200", "b/").await;
        group.check("GET /", &[REFUSED, "200"], "200", "c/ b/").await;
        group.check("GET /", &["200"], "200", "b/").await;
        tokio::time::advance(Duration::from_secs(30)).await;
        group.check("GET /", &["200"], "200", "a/").await;
    });
}

#[test]
fn all_attempts_together_have_one_deadline() {
    wait(async {
        let slow = "<timeout><duration>700</duration></timeout>";
        let began = tokio::time::Instant::now();
        let group = failover("deadline='1000'", slow);
        group.check("GET /", &[SILENT], "101504", "a/ b/").await;
        assert_eq!(began.elapsed(), Duration::from_millis(1000));
        // What the second one had left was not enough to judge it by.
        group.check("GET /", &["200"], "200", "b/").await;
    });
}

/// Otherwise every message would wait for it, and none would get any further.
#[test]
fn a_child_that_takes_the_whole_deadline_for_itself_is_to_blame() {
    wait(async {
        let group = failover("deadline='500'", "<timeout><duration>700</duration></timeout>");
        group.check("GET /", &[SILENT], "101504", "a/").await;
        group.check("GET /", &["200"], "200", "b/").await;
    });
}

#[test]
fn groups_stand_in_groups() {
    wait(async {
        let inner = |one: &str, two: &str| {
            let child =
                |host: &str| format!(r#"<endpoint name="{host}"><address uri="http://{host}/"/></endpoint>"#);
            format!(
                "<endpoint><failover>{}{}</failover></endpoint>",
                child(one),
                child(two)
            )
        };
        let outer = format!(
            "<endpoint><loadbalance>{}{}</loadbalance></endpoint>",
            inner("a", "b"),
            inner("c", "d")
        );
        let group = trial(&outer);
        group
            .check(
                "POST /\n\nx",
                &[REFUSED, REFUSED, REFUSED, "200"],
                "200",
                "a/=x b/=x c/=x d/=x",
            )
            .await;
        group.check("POST /\n\nx", &["200"], "200", "d/=x").await;
    });
}

#[test]
fn children_take_turns_and_those_that_are_not_ready_are_left_out() {
    wait(async {
        let group = balance("", "");
        for host in ["a/", "b/", "c/", "a/"] {
            group.check("GET /", &["200"], "200", host).await;
        }
        group.check("GET /", &[REFUSED, "200"], "200", "b/ c/").await;
        // Those that are left share what the one that is gone would have had.
        for host in ["a/", "c/", "a/", "c/"] {
            group.check("GET /", &["200"], "200", host).await;
        }
    });
}

#[test]
fn without_failover_a_failure_is_the_answer() {
    wait(async {
        let group = balance("failover='false'", "");
        group.check("GET /", &[REFUSED, "200"], "303000", "a/").await;
        group.check("GET /", &["200"], "200", "b/").await;
    });
}

#[test]
fn weights_say_how_often_and_the_turns_are_spread() {
    wait(async {
        let child = |name: &str, weight: u32, kind: &str| {
            format!(
                r#"<endpoint name="{name}">{kind}<property name="loadbalance.weight" value="{weight}"/></endpoint>"#
            )
        };
        let children = [
            child("a", 5, r#"<dynamic expression='"http://a/"'/>"#),
            child("b", 1, r#"<address uri="http://b/"/>"#),
            child("c", 1, r#"<http uri-template="http://c/"/>"#),
        ]
        .concat();
        let group = trial(&format!(
            "<endpoint><loadbalance algorithm='org.apache.synapse.endpoints.algorithms.WeightedRoundRobin'>{children}</loadbalance></endpoint>"
        ));
        let mut order = String::new();
        for _ in 0..7 {
            order.push_str(&group.ask("GET /", &["200"]).await.1);
        }
        assert_eq!(order, "a/a/b/a/c/a/a/");
    });
}

#[test]
fn the_same_value_goes_to_the_same_child() {
    wait(async {
        let group = balance("algorithm='hash' hashBy='header x-user'", "");
        let mut children = std::collections::BTreeSet::new();
        for user in 0..20 {
            let request = format!("GET /\nx-user: {user}");
            let (_, first) = group.ask(&request, &["200"]).await;
            group.check(&request, &["200"], "200", &first).await;
            children.insert(first);
        }
        assert_eq!(children.len(), 3);
    });
}

#[test]
fn every_algorithm_finds_the_child_that_is_left() {
    wait(async {
        for algorithm in [
            "weighted-least-connections",
            "least-request",
            "random",
            "hash",
            "weighted-round-robin",
        ] {
            let group = balance(&format!("algorithm='{algorithm}'"), "");
            let (outcome, seen) = group.ask("GET /", &[REFUSED, REFUSED, "200"]).await;
            assert_eq!(
                (outcome.as_str(), seen.split(' ').count()),
                ("200", 3),
                "{algorithm}"
            );
            let last = seen.split(' ').next_back().unwrap();
            group.check("GET /", &["200"], "200", last).await;
        }
    });
}

#[test]
fn a_session_stays_with_its_child_and_moves_when_that_dies() {
    wait(async {
        let open = "<session type='http'><sessionTimeout>5000</sessionTimeout></session><loadbalance>";
        let group = trial(&group(open, "</loadbalance>", ""));
        group
            .check("GET /", &["200\nset-cookie: sid=7; Path=/"], "200", "a/")
            .await;
        for _ in 0..2 {
            group
                .check("GET /\ncookie: x=1; sid=7", &["200"], "200", "a/")
                .await;
        }
        group.check("GET /", &["200"], "200", "b/").await;
        group
            .check("GET /\ncookie: sid=7", &[REFUSED, "200"], "200", "a/ c/")
            .await;
        group.check("GET /\ncookie: sid=7", &["200"], "200", "c/").await;
        tokio::time::advance(Duration::from_secs(31)).await;
        group.check("GET /\ncookie: sid=7", &["200"], "200", "a/").await;
    });
}

#[test]
fn without_failover_a_session_whose_child_dies_is_a_fault() {
    wait(async {
        let open = "<session type='http'/><loadbalance failover='false'>";
        let group = trial(&group(open, "</loadbalance>", ""));
        group
            .check("GET /", &["200\nset-cookie: sid=7"], "200", "a/")
            .await;
        group
            .check("GET /\ncookie: sid=7", &[REFUSED], "309003", "a/")
            .await;
        group
            .check(
                "GET /\ncookie: sid=7",
                &["200"],
                "309001 retry after 30000 ms",
                "",
            )
            .await;
    });
}

#[test]
fn a_client_says_its_session_in_a_soap_header() {
    wait(async {
        let message = |id: &str| {
            format!(
                "POST /\ncontent-type: text/xml\nsoapaction: \"x\"\n\n<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Header>\
                 <ClientID xmlns='http://ws.apache.org/ns/synapse'>{id}</ClientID></s:Header><s:Body/></s:Envelope>"
            )
        };
        let group = trial(&group(
            "<session type='simpleClientSession'/><loadbalance>",
            "</loadbalance>",
            "",
        ));
        let mut children = Vec::new();
        for id in ["one", "two", "one", "two", "three"] {
            let (_, seen) = group.ask(&message(id), &["200"]).await;
            children.push(seen.split('/').next().unwrap().to_owned());
        }
        assert_eq!(children, ["a", "b", "a", "b", "c"]);
    });
}

#[test]
fn a_group_can_be_switched_off_as_a_whole() {
    wait(async {
        let group = failover("", "");
        group.check("GET /", &["200"], "200", "a/").await;
        let runtime = group.runtime.borrow().clone().expect("it was asked");
        runtime.health.find("group").expect("it is watched").switch_off();
        group.check("GET /", &["200"], "303000", "").await;
    });
}

#[test]
fn what_is_wrong_with_a_group_is_told_at_its_place() {
    let kinds = Kinds {
        mediators: &[],
        endpoints: ALL,
    };
    let check = |endpoint: &str, expected: &[&str]| {
        let beside = r#"<endpoint name="orders"><address uri="http://backend/orders"/></endpoint>"#;
        assert_eq!(
            testing::endpoint(kinds, endpoint, beside).told(),
            expected,
            "{endpoint}"
        );
    };
    check(
        r#"<endpoint><failover><endpoint key="orders"/><endpoint key="orders"/></failover></endpoint>"#,
        &["E0403 2:60 the group has `orders` already"],
    );
    check(
        r#"<endpoint><failover/></endpoint>"#,
        &["E0208 2:12 a `<failover>` needs children to choose from"],
    );
    check(
        r#"<endpoint><loadbalance algorithm="RoundRobbin" retryOn="sometimes"><endpoint key="orders"/></loadbalance></endpoint>"#,
        &[
            "E0203 2:35 there is no algorithm `RoundRobbin`",
            "E0203 2:57 `sometimes` is nothing that another child could be asked on",
        ],
    );
    check(
        r#"<endpoint><loadbalance algorithm="hash" hashBy="mood"><endpoint key="orders"/></loadbalance></endpoint>"#,
        &["E0203 2:49 `mood` is nothing that tells clients apart"],
    );
    check(
        r#"<endpoint><loadbalance policy="roundRobin" algorithm="random"><endpoint key="orders"/></loadbalance></endpoint>"#,
        &["E0210 2:24 `policy` and `algorithm` say the same thing"],
    );
    check(
        r#"<endpoint><session type="http"><sessionTimeout>soon</sessionTimeout></session><loadbalance><member hostName="h"/></loadbalance></endpoint>"#,
        &[
            "E0203 2:48 `soon` is not a number of milliseconds",
            "E0202 2:93 a `<member>` needs `httpPort`, `httpsPort` or both",
        ],
    );
}

#[test]
fn a_copy_goes_to_everybody_and_the_first_answer_goes_on() {
    wait(async {
        let list = trial(&group("<recipientlist>", "</recipientlist>", ""));
        list.check("POST /\n\nx", &["200", "201", "202"], "200", "a/=x b/=x c/=x")
            .await;
        list.check("POST /\n\nx", &[REFUSED, "201", "202"], "201", "a/=x b/=x c/=x")
            .await;
        list.check(
            "POST /\n\nx",
            &[REFUSED],
            "303000 retry after 30000 ms",
            "b/=x c/=x",
        )
        .await;
        list.check("POST /\n\nx", &["200"], "303000 retry after 30000 ms", "")
            .await;
    });
}

#[test]
fn addresses_are_computed_and_each_has_its_own_state() {
    wait(async {
        let list =
            trial(r#"<endpoint><recipientlist><endpoints value="{$trp:to}"/></recipientlist></endpoint>"#);
        let both = "GET /\nto: http://a/, http://b/,http://a/";
        list.check(both, &[REFUSED, "200"], "200", "a/ b/").await;
        list.check(both, &["200"], "200", "b/").await;
        tokio::time::advance(Duration::from_millis(500)).await;
        list.check("GET /\nto: http://a/", &["200"], "200", "a/").await;
        list.check("GET /\nto: nowhere", &["200"], "0", "").await;
    });
}
