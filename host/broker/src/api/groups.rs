//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and the tools' DescribeGroups, ListGroups, DeleteGroups.
//! Owns the translation between messages and the state machine's terms.
//! Does not decide anything (`group::state`).

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::{Peer, text};
use crate::broker::Shared;
use crate::group::{Answer, Group, JoinAnswer, JoinRequest, Member, State};
use crate::wire::ErrorCode;
use crate::wire::frame::{FrameError, Request};

pub fn join(shared: &Shared, peer: &Peer, request: &Request) -> Result<Option<Bytes>, FrameError> {
    let body: JoinGroupRequest = request.decode()?;
    let answer = if body.group_id.is_empty() {
        Some(Answer::join_error(ErrorCode::InvalidGroupId, &body.member_id))
    } else {
        let join = JoinRequest {
            member_id: body.member_id.to_string(),
            instance: body.group_instance_id.as_ref().map(|id| id.to_string()),
            client_id: request.client_id.clone(),
            client_host: peer.host.clone(),
            session_timeout_ms: body.session_timeout_ms,
            rebalance_timeout_ms: if request.version >= 1 {
                body.rebalance_timeout_ms
            } else {
                body.session_timeout_ms
            },
            protocol_type: body.protocol_type.to_string(),
            protocols: body.protocols.iter().map(|p| (p.name.to_string(), p.metadata.to_vec())).collect(),
            requires_known_id: request.version >= 4,
        };
        let fresh = shared.groups.fresh_member_id(join.instance.as_deref().unwrap_or(&request.client_id));
        shared.groups.wait_for(&body.group_id, |group| group.join(&join, fresh, Instant::now()))
    };
    let Some(Answer::Join(answer)) = answer else { return Ok(None) };
    Ok(Some(request.encode(&joined(answer))?.freeze()))
}

fn joined(answer: JoinAnswer) -> JoinGroupResponse {
    let member = |(id, instance, subscription): (String, Option<String>, Vec<u8>)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.map(text))
            .with_metadata(subscription.into())
    };
    JoinGroupResponse::default()
        .with_error_code(answer.error.code())
        .with_generation_id(answer.generation)
        .with_protocol_type(Some(text(answer.protocol_type)))
        .with_protocol_name(Some(text(answer.protocol)))
        .with_leader(text(answer.leader))
        .with_member_id(text(answer.member_id))
        .with_members(answer.members.into_iter().map(member).collect())
}

pub fn sync(shared: &Shared, request: &Request) -> Result<Option<Bytes>, FrameError> {
    let body: SyncGroupRequest = request.decode()?;
    let assignments = body.assignments.iter().map(|a| (a.member_id.to_string(), a.assignment.to_vec())).collect();
    let instance = body.group_instance_id.as_deref();
    let act =
        |group: &mut Group| group.sync(&body.member_id, instance, body.generation_id, assignments, Instant::now());
    let Some(Answer::Sync(answer)) = shared.groups.wait_for(&body.group_id, act) else { return Ok(None) };
    let response =
        SyncGroupResponse::default().with_error_code(answer.error.code()).with_assignment(answer.assignment.into());
    Ok(Some(request.encode(&response)?.freeze()))
}

pub fn heartbeat(shared: &Shared, request: HeartbeatRequest) -> HeartbeatResponse {
    let instance = request.group_instance_id.as_deref();
    let beat = |group: &mut Group| group.heartbeat(&request.member_id, instance, request.generation_id, Instant::now());
    let error = shared.groups.with(&request.group_id, beat).unwrap_or(ErrorCode::UnknownMemberId);
    HeartbeatResponse::default().with_error_code(error.code())
}

pub fn leave(shared: &Shared, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let leave = |id: &str, instance: Option<&str>| {
        let act = |group: &mut Group| group.leave(id, instance, Instant::now());
        shared.groups.with(&request.group_id, act).unwrap_or(ErrorCode::UnknownMemberId)
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(leave(&request.member_id, None).code());
    }
    let members = request.members.iter().map(|member| {
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(leave(&member.member_id, member.group_instance_id.as_deref()).code())
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

pub fn describe(shared: &Shared, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let describe = |id: &GroupId| {
        let found = shared.groups.with(id, |group| described(group));
        found.unwrap_or_else(|| DescribedGroup::default().with_group_state(text("Dead"))).with_group_id(id.clone())
    };
    let asked: BTreeSet<&GroupId> = request.groups.iter().collect();
    DescribeGroupsResponse::default().with_groups(asked.into_iter().map(describe).collect())
}

fn described(group: &Group) -> DescribedGroup {
    let member = |member: &Member| {
        let is_agreed = group.state == State::Stable;
        DescribedGroupMember::default()
            .with_member_id(text(member.image.id.clone()))
            .with_group_instance_id(member.image.instance.clone().map(text))
            .with_client_id(text(member.image.client_id.clone()))
            .with_client_host(text(member.image.client_host.clone()))
            .with_member_metadata(if is_agreed { member.subscription(&group.protocol).into() } else { Bytes::new() })
            .with_member_assignment(if is_agreed { member.image.assignment.clone().into() } else { Bytes::new() })
    };
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.clone()))
        .with_protocol_data(text(if group.state == State::Stable { group.protocol.clone() } else { String::new() }))
        .with_members(group.members().iter().map(member).collect())
}

pub fn list(shared: &Shared, _request: ListGroupsRequest) -> ListGroupsResponse {
    let listed = |name: String| {
        let (is_vacant, protocol_type) = shared.groups.with(&name, |g| (g.is_vacant(), g.protocol_type.clone()))?;
        let group = ListedGroup::default().with_group_id(GroupId(text(name))).with_protocol_type(text(protocol_type));
        (!is_vacant).then_some(group)
    };
    ListGroupsResponse::default().with_groups(shared.groups.names().into_iter().filter_map(listed).collect())
}

pub fn delete(shared: &Shared, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let delete = |id: &GroupId| {
        let error = shared.groups.delete(id);
        DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(error.code())
    };
    DeleteGroupsResponse::default().with_results(request.groups_names.iter().map(delete).collect())
}
