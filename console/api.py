"""The JSON API as one table: from it come the routes and the OpenAPI document."""

from functools import cache
from typing import Final

from starlette.responses import Response

from console import (
    bulk,
    channels,
    events,
    fleets,
    heartbeats,
    incidents,
    keys,
    members,
    oncall,
    openapi,
    people,
    policies,
    problems,
    project,
    projects,
    reference,
    schedules,
    users,
    windows,
)
from console.answers import (
    Channel,
    Channels,
    Counted,
    Counts,
    DeafWindows,
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
    Note,
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
    ChannelPut,
    CountQuery,
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
    HeartbeatPut,
    HeartbeatQuery,
    IncidentQuery,
    LogQuery,
    MemberQuery,
    NoteAdd,
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


async def docs(call: Call[None]) -> Response:
    """Show the reference of this API, for people."""
    return _reference(call.context.public_url)


# fmt: off
TABLE: Final = (
    #   method    path                                  needs    handler            takes            answers, status
    Row("POST",   "/api/heartbeats",                    "write", heartbeats.create, HeartbeatCreate, Heartbeat, 201),
    Row("GET",    "/api/heartbeats",                    "read",  heartbeats.page,   HeartbeatQuery,  Heartbeats),
    Row("POST",   "/api/heartbeats/bulk",               "write", bulk.act,          bulk.Bulk,       bulk.BulkDone),
    Row("GET",    "/api/heartbeats/by-slug/{slug}",     "read",  heartbeats.get_by_slug, None,        Heartbeat),
    Row("PUT",    "/api/heartbeats/by-slug/{slug}",     "write", heartbeats.put,    HeartbeatPut,    Heartbeat,
        may_make=True),
    Row("GET",    "/api/counts",                        "read",  heartbeats.counts, CountQuery,      Counts),
    Row("GET",    "/api/heartbeats/{heartbeat}",        "read",  heartbeats.get,    None,            Heartbeat),
    Row("PATCH",  "/api/heartbeats/{heartbeat}",        "write", heartbeats.change, HeartbeatPatch,  Heartbeat),
    Row("DELETE", "/api/heartbeats/{heartbeat}",        "write", heartbeats.delete, None,            None, 204),
    Row("POST",   "/api/heartbeats/{heartbeat}/pause",  "write", heartbeats.pause,  Pause,           Heartbeat),
    Row("POST",   "/api/heartbeats/{heartbeat}/resume", "write", heartbeats.resume, None,            Heartbeat),
    Row("POST",   "/api/heartbeats/{heartbeat}/rotate", "write", heartbeats.rotate, None,            Heartbeat),

    Row("POST",   "/heartbeat/{heartbeat}/pause",  "write", heartbeats.pause,  Pause, Heartbeat, key="push"),
    Row("POST",   "/heartbeat/{heartbeat}/resume", "write", heartbeats.resume, None,  Heartbeat, key="push"),

    Row("GET",    "/api/heartbeats/{heartbeat}/events",                "read",  events.page,   EventQuery, Events),
    Row("GET",    "/api/heartbeats/{heartbeat}/events/{event}/output", "read",  events.output, None,       bytes),

    Row("GET",    "/api/schedules/preview", "read",  schedules.preview, ScheduleQuery, Preview),
    Row("GET",    "/api/project",           "read",  project.get,       None,          Project),
    Row("POST",   "/api/project/rotate",    "admin", project.rotate,    None,          Project),

    Row("POST",   "/api/fleets",                          "write", fleets.create,        FleetCreate, Fleet, 201),
    Row("GET",    "/api/fleets",                          "read",  fleets.page,          FleetQuery,  Fleets),
    Row("GET",    "/api/fleets/{fleet}",                  "read",  fleets.get,           None,        Fleet),
    Row("PATCH",  "/api/fleets/{fleet}",                  "write", fleets.change,        FleetPatch,  Fleet),
    Row("DELETE", "/api/fleets/{fleet}",                  "write", fleets.delete,        None,        None, 204),
    Row("POST",   "/api/fleets/{fleet}/pause",            "write", fleets.pause,         None,        Fleet),
    Row("POST",   "/api/fleets/{fleet}/resume",           "write", fleets.resume,        None,        Fleet),
    Row("POST",   "/api/fleets/{fleet}/rotate",           "write", fleets.rotate,        None,        Fleet),
    Row("POST",   "/api/fleets/{fleet}/forget",           "write", fleets.forget,        Forget,      Forgotten),
    Row("GET",    "/api/fleets/{fleet}/members",          "read",  fleets.members,       MemberQuery, Members),
    Row("GET",    "/api/fleets/{fleet}/members/{member}", "read",  fleets.member,        None,        Member),
    Row("DELETE", "/api/fleets/{fleet}/members/{member}", "write", fleets.forget_member, None,        None, 204),

    Row("POST",   "/api/channels",                "write", channels.create, ChannelCreate, Channel, 201),
    Row("GET",    "/api/channels",                "read",  channels.page,   None,          Channels),
    Row("GET",    "/api/channels/by-slug/{slug}", "read",  channels.get_by_slug, None,     Channel),
    Row("PUT",    "/api/channels/by-slug/{slug}", "admin", channels.put,    ChannelPut,    Channel, may_make=True),
    Row("GET",    "/api/channels/{channel}",      "read",  channels.get,    None,          Channel),
    Row("PATCH",  "/api/channels/{channel}",      "admin", channels.change, ChannelPatch,  Channel),
    Row("DELETE", "/api/channels/{channel}",      "admin", channels.delete, None,          None, 204),
    Row("POST",   "/api/channels/{channel}/test", "write", channels.test,   None,          TestAsked, 202),

    Row("POST",   "/api/people",                 "write", people.create,   PersonCreate, Person, 201),
    Row("GET",    "/api/people",                 "read",  people.page,     None,         People),
    Row("GET",    "/api/people/{person}",        "read",  people.get,      None,         Person),
    Row("PATCH",  "/api/people/{person}",        "write", people.change,   PersonPatch,  Person),
    Row("DELETE", "/api/people/{person}",        "write", people.delete,   None,         None, 204),
    Row("POST",   "/api/oncall",                 "write", oncall.create,   OnCallCreate, OnCall, 201),
    Row("GET",    "/api/oncall",                 "read",  oncall.page,     None,         OnCalls),
    Row("GET",    "/api/oncall/{oncall}",        "read",  oncall.get,      None,         OnCall),
    Row("PATCH",  "/api/oncall/{oncall}",        "write", oncall.change,   OnCallPatch,  OnCall),
    Row("DELETE", "/api/oncall/{oncall}",        "write", oncall.delete,   None,         None, 204),
    Row("GET",    "/api/oncall/{oncall}/now",    "read",  oncall.on_duty,  DutyQuery,    OnDuty),
    Row("GET",    "/api/oncall/{oncall}/shifts", "read",  oncall.shifts,   ShiftQuery,   Shifts),
    Row("POST",   "/api/policies",               "write", policies.create, PolicyCreate, Policy, 201),
    Row("GET",    "/api/policies",               "read",  policies.page,   None,         Policies),
    Row("GET",    "/api/policies/{policy}",      "read",  policies.get,    None,         Policy),
    Row("PATCH",  "/api/policies/{policy}",      "write", policies.change, PolicyPatch,  Policy),
    Row("DELETE", "/api/policies/{policy}",      "write", policies.delete, None,         None, 204),
    Row("POST",   "/api/windows",                "write", windows.create,  WindowCreate, Window, 201),
    Row("GET",    "/api/windows",                "read",  windows.page,    None,         Windows),
    Row("GET",    "/api/windows/{window}",       "read",  windows.get,     None,         Window),
    Row("PATCH",  "/api/windows/{window}",       "write", windows.change,  WindowPatch,  Window),
    Row("DELETE", "/api/windows/{window}",       "write", windows.delete,  None,         None, 204),

    Row("GET",  "/api/incidents",                        "read",  incidents.page,        IncidentQuery, Incidents),
    Row("GET",  "/api/incidents/{incident}",             "read",  incidents.get,         None,        IncidentDetails),
    Row("POST", "/api/incidents/{incident}/acknowledge", "write", incidents.acknowledge, Acknowledge, IncidentDetails),
    Row("POST", "/api/incidents/{incident}/snooze",      "write", incidents.snooze,      Snooze,      IncidentDetails),
    Row("POST", "/api/incidents/{incident}/notes",       "write", incidents.add_note,    NoteAdd,     Note, 201),

    Row("GET",    "/api/channels/{channel}/log",       "read",  channels.log,           LogQuery,      Tellings),
    Row("GET",    "/api/deliveries",                   "read",  incidents.dead_letters, DeliveryQuery, Deliveries),
    Row("POST",   "/api/deliveries/resend",            "write", incidents.resend_dead,  DeadLetters,   Counted),
    Row("POST",   "/api/deliveries/purge",             "write", incidents.purge_dead,   DeadLetters,   Counted),
    Row("GET",    "/api/deliveries/{delivery}",        "read",  incidents.get_delivery, None,          Delivery),
    Row("DELETE", "/api/deliveries/{delivery}",        "write", incidents.purge,        None,          None, 204),
    Row("POST",   "/api/deliveries/{delivery}/resend", "write", incidents.resend,       None,          Delivery, 202),

    Row("GET", "/api/problems",          "read",     problems.page,             None,                     OpenProblems),
    Row("GET", "/api/deaf",              "read",     problems.deaf,             None,                     DeafWindows),
    Row("GET", "/api/operator-channels", "operator", problems.operators,        None,                     Operators),
    Row("PUT", "/api/operator-channels", "operator", problems.choose_operators, problems.OperatorChannels, Operators),

    Row("GET",    "/api/me",                 "known",    users.me,        None,                   users.Me),
    Row("PATCH",  "/api/me",                 "known",    users.change_me, users.MePatch,          users.Me,
        tries_password=True),
    Row("POST",   "/api/users",              "operator", users.create,    users.UserCreate,       users.User, 201),
    Row("GET",    "/api/users",              "operator", users.page,      None,                   users.Users),
    Row("GET",    "/api/users/{user}",       "operator", users.get,       None,                   users.User),
    Row("PATCH",  "/api/users/{user}",       "operator", users.change,    users.UserPatch,        users.User),
    Row("DELETE", "/api/users/{user}",       "operator", users.delete,    None,                   None, 204),

    Row("GET",   "/api/projects",           "known",    projects.page,   None, projects.OwnProjects),
    Row("POST",  "/api/projects",        "operator", projects.create, projects.ProjectCreate, projects.OwnProject, 201),
    Row("PATCH", "/api/projects/{project}", "operator", projects.change, projects.ProjectPatch,  projects.OwnProject),

    Row("POST",   "/api/members",        "admin", members.add,    members.MemberAdd,   members.Membership, 201),
    Row("GET",    "/api/members",        "admin", members.page,   None,                members.Memberships),
    Row("PATCH",  "/api/members/{user}", "admin", members.change, members.MemberPatch, members.Membership),
    Row("DELETE", "/api/members/{user}", "admin", members.remove, None,                None, 204),
    Row("POST",   "/api/keys",           "admin", keys.create,    keys.ApiKeyCreate,   keys.MadeApiKey, 201),
    Row("GET",    "/api/keys",           "admin", keys.page,      None,                keys.ApiKeys),
    Row("DELETE", "/api/keys/{key}",     "admin", keys.delete,    None,                None, 204),

    Row("GET", "/api/openapi.json", "open", document, None, Document),
    Row("GET", "/api/docs",         "open", docs,     None, Response),
)
# fmt: on


@cache
def _document() -> Document:
    return Document(openapi.build(TABLE))


@cache
def _reference(public_url: str) -> Response:
    return reference.page(_document().root, public_url)
