"""The JSON API as one table: from it come the routes and the OpenAPI document."""

from functools import cache
from typing import Final

from console import (
    channels,
    events,
    fleets,
    heartbeats,
    incidents,
    oncall,
    openapi,
    people,
    policies,
    problems,
    project,
    schedules,
    windows,
)
from console.answers import (
    Channel,
    Channels,
    Counted,
    Deliveries,
    Delivery,
    Document,
    Events,
    Fleet,
    Fleets,
    Forgotten,
    Heartbeat,
    Heartbeats,
    IncidentDetails,
    Incidents,
    Member,
    Members,
    OnCall,
    OnCalls,
    OnDuty,
    OpenProblems,
    Operators,
    People,
    Person,
    Policies,
    Policy,
    Preview,
    Project,
    Shifts,
    Tellings,
    TestAsked,
    Window,
    Windows,
)
from console.routing import Call, Row
from console.schemas import (
    Acknowledge,
    ChannelCreate,
    ChannelPatch,
    DeadLetters,
    DeliveryQuery,
    DutyQuery,
    EventQuery,
    FleetCreate,
    FleetPatch,
    FleetQuery,
    Forget,
    HeartbeatCreate,
    HeartbeatPatch,
    HeartbeatQuery,
    IncidentQuery,
    LogQuery,
    MemberQuery,
    OnCallCreate,
    OnCallPatch,
    Pause,
    PersonCreate,
    PersonPatch,
    PolicyCreate,
    PolicyPatch,
    ScheduleQuery,
    ShiftQuery,
    Snooze,
    WindowCreate,
    WindowPatch,
)


async def document(_: Call[None]) -> Document:
    """Describe this API."""
    return _document()


# fmt: off
TABLE: Final = (
    #   method    path                                  handler            takes            answers, status, key
    Row("POST",   "/api/heartbeats",                    heartbeats.create, HeartbeatCreate, Heartbeat, 201),
    Row("GET",    "/api/heartbeats",                    heartbeats.page,   HeartbeatQuery,  Heartbeats),
    Row("GET",    "/api/heartbeats/{heartbeat}",        heartbeats.get,    None,            Heartbeat),
    Row("PATCH",  "/api/heartbeats/{heartbeat}",        heartbeats.change, HeartbeatPatch,  Heartbeat),
    Row("DELETE", "/api/heartbeats/{heartbeat}",        heartbeats.delete, None,            None, 204),
    Row("POST",   "/api/heartbeats/{heartbeat}/pause",  heartbeats.pause,  Pause,           Heartbeat),
    Row("POST",   "/api/heartbeats/{heartbeat}/resume", heartbeats.resume, None,            Heartbeat),
    Row("POST",   "/api/heartbeats/{heartbeat}/rotate", heartbeats.rotate, None,            Heartbeat),
    Row("POST",   "/heartbeat/{heartbeat}/pause",       heartbeats.pause,  Pause,           Heartbeat, key="push"),
    Row("POST",   "/heartbeat/{heartbeat}/resume",      heartbeats.resume, None,            Heartbeat, key="push"),

    Row("GET",    "/api/heartbeats/{heartbeat}/events",                events.page,   EventQuery, Events),
    Row("GET",    "/api/heartbeats/{heartbeat}/events/{event}/output", events.output, None,       bytes),

    Row("GET",    "/api/schedules/preview", schedules.preview, ScheduleQuery, Preview),
    Row("GET",    "/api/project",           project.get,       None,          Project),
    Row("POST",   "/api/project/rotate",    project.rotate,    None,          Project),

    Row("POST",   "/api/fleets",                          fleets.create,        FleetCreate, Fleet, 201),
    Row("GET",    "/api/fleets",                          fleets.page,          FleetQuery,  Fleets),
    Row("GET",    "/api/fleets/{fleet}",                  fleets.get,           None,        Fleet),
    Row("PATCH",  "/api/fleets/{fleet}",                  fleets.change,        FleetPatch,  Fleet),
    Row("DELETE", "/api/fleets/{fleet}",                  fleets.delete,        None,        None, 204),
    Row("POST",   "/api/fleets/{fleet}/pause",            fleets.pause,         None,        Fleet),
    Row("POST",   "/api/fleets/{fleet}/resume",           fleets.resume,        None,        Fleet),
    Row("POST",   "/api/fleets/{fleet}/rotate",           fleets.rotate,        None,        Fleet),
    Row("POST",   "/api/fleets/{fleet}/forget",           fleets.forget,        Forget,      Forgotten),
    Row("GET",    "/api/fleets/{fleet}/members",          fleets.members,       MemberQuery, Members),
    Row("GET",    "/api/fleets/{fleet}/members/{member}", fleets.member,        None,        Member),
    Row("DELETE", "/api/fleets/{fleet}/members/{member}", fleets.forget_member, None,        None, 204),

    Row("POST",   "/api/channels",                channels.create, ChannelCreate, Channel, 201),
    Row("GET",    "/api/channels",                channels.page,   None,          Channels),
    Row("GET",    "/api/channels/{channel}",      channels.get,    None,          Channel),
    Row("PATCH",  "/api/channels/{channel}",      channels.change, ChannelPatch,  Channel),
    Row("DELETE", "/api/channels/{channel}",      channels.delete, None,          None, 204),
    Row("POST",   "/api/channels/{channel}/test", channels.test,   None,          TestAsked, 202),

    Row("POST",   "/api/people",                 people.create,   PersonCreate, Person, 201),
    Row("GET",    "/api/people",                 people.page,     None,         People),
    Row("GET",    "/api/people/{person}",        people.get,      None,         Person),
    Row("PATCH",  "/api/people/{person}",        people.change,   PersonPatch,  Person),
    Row("DELETE", "/api/people/{person}",        people.delete,   None,         None, 204),
    Row("POST",   "/api/oncall",                 oncall.create,   OnCallCreate, OnCall, 201),
    Row("GET",    "/api/oncall",                 oncall.page,     None,         OnCalls),
    Row("GET",    "/api/oncall/{oncall}",        oncall.get,      None,         OnCall),
    Row("PATCH",  "/api/oncall/{oncall}",        oncall.change,   OnCallPatch,  OnCall),
    Row("DELETE", "/api/oncall/{oncall}",        oncall.delete,   None,         None, 204),
    Row("GET",    "/api/oncall/{oncall}/now",    oncall.on_duty,  DutyQuery,    OnDuty),
    Row("GET",    "/api/oncall/{oncall}/shifts", oncall.shifts,   ShiftQuery,   Shifts),
    Row("POST",   "/api/policies",               policies.create, PolicyCreate, Policy, 201),
    Row("GET",    "/api/policies",               policies.page,   None,         Policies),
    Row("GET",    "/api/policies/{policy}",      policies.get,    None,         Policy),
    Row("PATCH",  "/api/policies/{policy}",      policies.change, PolicyPatch,  Policy),
    Row("DELETE", "/api/policies/{policy}",      policies.delete, None,         None, 204),
    Row("POST",   "/api/windows",                windows.create,  WindowCreate, Window, 201),
    Row("GET",    "/api/windows",                windows.page,    None,         Windows),
    Row("GET",    "/api/windows/{window}",       windows.get,     None,         Window),
    Row("PATCH",  "/api/windows/{window}",       windows.change,  WindowPatch,  Window),
    Row("DELETE", "/api/windows/{window}",       windows.delete,  None,         None, 204),

    Row("GET",    "/api/incidents",             incidents.page,         IncidentQuery, Incidents),
    Row("GET",    "/api/incidents/{incident}",  incidents.get,          None,          IncidentDetails),
    Row("POST",   "/api/incidents/{incident}/acknowledge", incidents.acknowledge, Acknowledge, IncidentDetails),
    Row("POST",   "/api/incidents/{incident}/snooze",      incidents.snooze,      Snooze,      IncidentDetails),

    Row("GET",    "/api/channels/{channel}/log",       channels.log,           LogQuery,      Tellings),
    Row("GET",    "/api/deliveries",                   incidents.dead_letters, DeliveryQuery, Deliveries),
    Row("POST",   "/api/deliveries/resend",            incidents.resend_dead,  DeadLetters,   Counted),
    Row("POST",   "/api/deliveries/purge",             incidents.purge_dead,   DeadLetters,   Counted),
    Row("GET",    "/api/deliveries/{delivery}",        incidents.get_delivery, None,          Delivery),
    Row("DELETE", "/api/deliveries/{delivery}",        incidents.purge,        None,          None, 204),
    Row("POST",   "/api/deliveries/{delivery}/resend", incidents.resend,       None,          Delivery, 202),

    Row("GET",    "/api/problems",          problems.page,             None,                      OpenProblems),
    Row("GET",    "/api/operator-channels", problems.operators,        None,                      Operators),
    Row("PUT",    "/api/operator-channels", problems.choose_operators, problems.OperatorChannels, Operators),

    Row("GET",    "/api/openapi.json",          document,               None,          Document, key="open"),
)
# fmt: on


@cache
def _document() -> Document:
    return Document(openapi.build(TABLE))
