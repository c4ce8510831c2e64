//! Consumer groups: who owns what, and who notices when a member comes, goes or dies.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::member::{Change, Member, Part, poll_until};
use wasmill_tests::producer::Producer;
use wasmill_tests::until::{LONG, until};

use crate::check::{Check, shared};

pub const CHECKS: &[Check] = &[
    shared("members_share_eagerly", members_share_eagerly),
    shared("members_share_cooperatively", members_share_cooperatively),
    shared("range_gives_equal_partitions_of_two_topics", range_gives_equal_partitions_of_two_topics),
    shared("a_static_member_restarts_unnoticed", a_static_member_restarts_unnoticed),
    shared("a_second_process_fences_the_instance", a_second_process_fences_the_instance),
    shared("a_dead_static_member_is_replaced", a_dead_static_member_is_replaced),
    shared("a_killed_member_is_replaced", a_killed_member_is_replaced),
    shared("unsubscribe_leaves_at_once", unsubscribe_leaves_at_once),
    shared("a_closed_member_leaves_at_once", a_closed_member_leaves_at_once),
    shared("a_silent_member_is_replaced_and_told", a_silent_member_is_replaced_and_told),
    shared("a_group_goes_on_where_it_was", a_group_goes_on_where_it_was),
    shared("unlike_members_are_refused", unlike_members_are_refused),
    shared("a_grown_topic_is_shared_anew", a_grown_topic_is_shared_anew),
    shared("groups_are_listed_and_deleted", groups_are_listed_and_deleted),
    shared("many_members_settle", many_members_settle),
];

const RANGE: (&str, &str) = ("partition.assignment.strategy", "range");
const COOPERATIVE: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");

/// No honest departure takes longer, and no session ends sooner.
const LONG_SESSION: (&str, &str) = ("session.timeout.ms", "40000");
const AT_ONCE: Duration = Duration::from_secs(15);

/// `WASMILL_MEMBER=address,group,topic` makes this program a member that is there to be killed.
pub const MEMBER: &str = "WASMILL_MEMBER";

/// The life of such a member.
pub fn live_as_member(words: &str) {
    let words: Vec<&str> = words.split(',').collect();
    let [address, group, topic] = words[..] else { panic!("not `address,group,topic`: {words:?}") };
    let settings = [("bootstrap.servers", address), ("group.id", group), ("session.timeout.ms", "3000")];
    let mut config = rdkafka::ClientConfig::new();
    config.extend(settings.map(|(key, value)| (key.to_string(), value.to_string())));
    let consumer: rdkafka::consumer::BaseConsumer = config.create().expect("these settings are valid");
    rdkafka::consumer::Consumer::subscribe(&consumer, &[topic]).expect("a subscription");
    loop {
        consumer.poll(Duration::from_millis(100));
    }
}

fn join(broker: &Broker, group: &str, topic: &str, settings: &[(&str, &str)]) -> Member {
    Member::join(broker, group, &[topic], settings)
}

fn owns(count: usize) -> impl Fn(&[&mut Member]) -> bool {
    move |all| all.iter().all(|member| member.owned().len() == count) && owned_by_all(all).len() == count * all.len()
}

fn owned_by_all(all: &[&mut Member]) -> BTreeSet<Part> {
    all.iter().flat_map(|member| member.owned()).collect()
}

fn members_share_eagerly(broker: &Broker) {
    let topic = Admin::new(broker).topic("shared", 4, &[]);
    let group = fresh("group");
    let mut a = join(broker, &group, &topic, &[RANGE]);
    poll_until("a owns all", LONG, &mut [&mut a], owns(4));
    let mut b = join(broker, &group, &topic, &[RANGE]);
    poll_until("they share", LONG, &mut [&mut a, &mut b], owns(2));
    let all: Vec<Part> = (0..4).map(|partition| (topic.clone(), partition)).collect();
    assert_eq!(
        a.changes()[..2],
        [Change::Assigned(all.clone()), Change::Revoked(all.clone())],
        "everything is given back"
    );
    drop(b);
    poll_until("a owns all again", LONG, &mut [&mut a], owns(4));
}

fn members_share_cooperatively(broker: &Broker) {
    let topic = Admin::new(broker).topic("shared", 4, &[]);
    let group = fresh("group");
    let mut a = join(broker, &group, &topic, &[COOPERATIVE]);
    poll_until("a owns all", LONG, &mut [&mut a], owns(4));
    let mut b = join(broker, &group, &topic, &[COOPERATIVE]);
    poll_until("they share", LONG, &mut [&mut a, &mut b], owns(2));
    let revoked: Vec<Part> = a
        .changes()
        .into_iter()
        .filter_map(|change| if let Change::Revoked(parts) = change { Some(parts) } else { None })
        .flatten()
        .collect();
    assert_eq!(revoked.iter().cloned().collect::<BTreeSet<_>>(), b.owned(), "only what moves is given back");
    b.unsubscribe();
    poll_until("a owns all again", LONG, &mut [&mut a, &mut b], |all| all[0].owned().len() == 4);
}

fn range_gives_equal_partitions_of_two_topics(broker: &Broker) {
    let admin = Admin::new(broker);
    let topics = [admin.topic("left", 4, &[]), admin.topic("right", 4, &[])];
    let group = fresh("group");
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut a = Member::join(broker, &group, &names, &[RANGE]);
    let mut b = Member::join(broker, &group, &names, &[RANGE]);
    poll_until("they share", LONG, &mut [&mut a, &mut b], owns(4));
    for member in [&a, &b] {
        let of = |topic: &String| -> Vec<i32> {
            member.owned().into_iter().filter(|(name, _)| name == topic).map(|(_, partition)| partition).collect()
        };
        assert_eq!(of(&topics[0]), of(&topics[1]));
    }
}

fn a_static_member_restarts_unnoticed(broker: &Broker) {
    for strategy in [RANGE, COOPERATIVE] {
        let topic = Admin::new(broker).topic("static", 4, &[]);
        let group = fresh("group");
        let start = |id| join(broker, &group, &topic, &[strategy, ("group.instance.id", id), LONG_SESSION]);
        let (mut a, mut b) = (start("a"), start("b"));
        poll_until("they share", LONG, &mut [&mut a, &mut b], owns(2));
        let (owned, unchanged) = (a.owned(), b.changes());
        drop(a);
        let mut again = start("a");
        poll_until("it has its own back", LONG, &mut [&mut again, &mut b], |all| all[0].owned() == owned);
        assert_eq!(b.changes(), unchanged, "{strategy:?}");
    }
}

fn a_second_process_fences_the_instance(broker: &Broker) {
    let topic = Admin::new(broker).topic("twice", 2, &[]);
    let group = fresh("group");
    let start = || join(broker, &group, &topic, &[COOPERATIVE, ("group.instance.id", "same")]);
    let mut first = start();
    poll_until("the first owns all", LONG, &mut [&mut first], owns(2));
    let mut second = start();
    let is_fenced = |member: &Member| member.fatal_error() == Some(Code::FencedInstanceId);
    poll_until("the first is fenced, the second owns all", LONG, &mut [&mut first, &mut second], |all| {
        is_fenced(all[0]) && !all[0].errors.is_empty() && all[1].owned().len() == 2
    });
    assert!(!is_fenced(&second));
    assert_eq!(first.errors[0], Code::FencedInstanceId);
}

fn a_dead_static_member_is_replaced(broker: &Broker) {
    let topic = Admin::new(broker).topic("dead", 2, &[]);
    let group = fresh("group");
    let start = |id| join(broker, &group, &topic, &[RANGE, ("group.instance.id", id)]);
    let (mut a, mut b) = (start("a"), start("b"));
    poll_until("they share", LONG, &mut [&mut a, &mut b], owns(1));
    let died = Instant::now();
    drop(a);
    poll_until("b owns all", LONG, &mut [&mut b], owns(2));
    assert!(died.elapsed() > Duration::from_secs(2), "not before its session ended");
}

fn a_killed_member_is_replaced(broker: &Broker) {
    let topic = Admin::new(broker).topic("killed", 2, &[]);
    let group = fresh("group");
    let words = format!("{},{group},{topic}", broker.address());
    let suite = std::env::current_exe().expect("this program has a path");
    let mut child =
        Command::new(suite).env(MEMBER, words).stdin(Stdio::null()).spawn().expect("this program can be started");
    let mut survivor = join(broker, &group, &topic, &[RANGE]);
    poll_until("they share", LONG, &mut [&mut survivor], owns(1));
    child.kill().expect("it can be killed");
    child.wait().expect("it can be waited for");
    poll_until("the survivor owns all", LONG, &mut [&mut survivor], owns(2));
}

fn unsubscribe_leaves_at_once(broker: &Broker) {
    for instance in [None, Some(("group.instance.id", "leaver"))] {
        let topic = Admin::new(broker).topic("left", 2, &[]);
        let group = fresh("group");
        let settings: Vec<(&str, &str)> = [RANGE, LONG_SESSION].into_iter().chain(instance).collect();
        let mut leaver = join(broker, &group, &topic, &settings);
        let mut other = join(broker, &group, &topic, &[RANGE, LONG_SESSION]);
        poll_until("they share", LONG, &mut [&mut leaver, &mut other], owns(1));
        leaver.unsubscribe();
        poll_until("the other owns all", AT_ONCE, &mut [&mut leaver, &mut other], |all| all[1].owned().len() == 2);
    }
}

fn a_closed_member_leaves_at_once(broker: &Broker) {
    let topic = Admin::new(broker).topic("closed", 2, &[]);
    let group = fresh("group");
    let mut leaver = join(broker, &group, &topic, &[RANGE, LONG_SESSION]);
    let mut other = join(broker, &group, &topic, &[RANGE, LONG_SESSION]);
    poll_until("they share", LONG, &mut [&mut leaver, &mut other], owns(1));
    drop(leaver);
    poll_until("the other owns all", AT_ONCE, &mut [&mut other], owns(2));
}

/// Heartbeats go on without polls; it is `max.poll.interval.ms` that ends such a membership.
fn a_silent_member_is_replaced_and_told(broker: &Broker) {
    let topic = Admin::new(broker).topic("silent", 2, &[]);
    let group = fresh("group");
    let settings = [RANGE, ("max.poll.interval.ms", "3000")];
    let (mut silent, mut other) = (join(broker, &group, &topic, &settings), join(broker, &group, &topic, &settings));
    poll_until("they share", LONG, &mut [&mut silent, &mut other], owns(1));
    poll_until("the other owns all", LONG, &mut [&mut other], owns(2));
    poll_until("the silent one is told and comes back", LONG, &mut [&mut silent, &mut other], |all| {
        all[0].changes().iter().any(|change| matches!(change, Change::Lost(_))) && owns(1)(all)
    });
}

fn a_group_goes_on_where_it_was(broker: &Broker) {
    let topic = Admin::new(broker).topic("resumed", 1, &[]);
    let group = fresh("group");
    let producer = Producer::new(broker, &[]);
    for n in 0..10 {
        producer.put(&topic, 0, "k", &n.to_string());
    }
    producer.places();
    let mut a = join(broker, &group, &topic, &[]);
    poll_until("a reads all", LONG, &mut [&mut a], |all| all[0].seen.len() == 10);
    a.commit(&topic, 0, 6, "").expect("the broker commits");
    drop(a);
    let mut b = join(broker, &group, &topic, &[]);
    poll_until("b reads the rest", LONG, &mut [&mut b], |all| all[0].seen.len() == 4);
    assert_eq!(b.seen[0].offset, 6);
}

fn unlike_members_are_refused(broker: &Broker) {
    let topic = Admin::new(broker).topic("unlike", 1, &[]);
    let group = fresh("group");
    let mut a = join(broker, &group, &topic, &[RANGE]);
    poll_until("a owns all", LONG, &mut [&mut a], owns(1));
    let mut b = join(broker, &group, &topic, &[COOPERATIVE]);
    poll_until("b is refused", LONG, &mut [&mut a, &mut b], |all| {
        all[1].errors.contains(&Code::InconsistentGroupProtocol)
    });
    assert_eq!(a.owned().len(), 1);
}

fn a_grown_topic_is_shared_anew(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("grown", 1, &[]);
    let group = fresh("group");
    let mut a = join(broker, &group, &topic, &[("topic.metadata.refresh.interval.ms", "300")]);
    poll_until("a owns all", LONG, &mut [&mut a], owns(1));
    admin.grow(&topic, 3).expect("it grows");
    poll_until("a owns all of it", LONG, &mut [&mut a], owns(3));
}

fn groups_are_listed_and_deleted(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("listed-group", 1, &[]);
    let group = fresh("group");
    let mut a = join(broker, &group, &topic, &[]);
    poll_until("a owns all", LONG, &mut [&mut a], owns(1));
    a.commit(&topic, 0, 3, "").expect("the broker commits");
    assert_eq!(admin.members_of(&group), Some(1));
    assert_eq!(admin.delete_group(&group), Err(Code::NonEmptyGroup));
    drop(a);
    until("the group is empty", LONG, || (admin.members_of(&group) == Some(0)).then_some(()));
    assert_eq!(admin.delete_group(&group), Ok(()));
    assert_eq!(admin.delete_group(&fresh("nobody")), Err(Code::GroupIdNotFound));
    assert_eq!(Member::outside(broker, &group, &[]).committed(&topic, 0, LONG), Ok(None), "its offsets are gone");
}

fn many_members_settle(broker: &Broker) {
    let topic = Admin::new(broker).topic("many", 12, &[]);
    let group = fresh("group");
    let mut members: Vec<Member> = (0..6).map(|_| join(broker, &group, &topic, &[COOPERATIVE])).collect();
    let mut all: Vec<&mut Member> = members.iter_mut().collect();
    poll_until("each owns two", LONG, &mut all, owns(2));
    members.truncate(3);
    let mut rest: Vec<&mut Member> = members.iter_mut().collect();
    poll_until("each owns four", LONG, &mut rest, owns(4));
}
