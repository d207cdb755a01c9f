"""The JSON API as one table: from it come the routes and the OpenAPI document."""

from functools import cache
from typing import Final

from console import channels, events, fleets, heartbeats, incidents, openapi, project, schedules
from console.answers import (
    Channel,
    Channels,
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
    Preview,
    Project,
    TestAsked,
)
from console.routing import Call, Row
from console.schemas import (
    ChannelCreate,
    ChannelPatch,
    DeliveryQuery,
    EventQuery,
    FleetCreate,
    FleetPatch,
    FleetQuery,
    Forget,
    HeartbeatCreate,
    HeartbeatPatch,
    HeartbeatQuery,
    IncidentQuery,
    MemberQuery,
    Pause,
    ScheduleQuery,
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

    Row("GET",    "/api/incidents",             incidents.page,         IncidentQuery, Incidents),
    Row("GET",    "/api/incidents/{incident}",  incidents.get,          None,          IncidentDetails),
    Row("GET",    "/api/deliveries",            incidents.dead_letters, DeliveryQuery, Deliveries),
    Row("GET",    "/api/deliveries/{delivery}", incidents.get_delivery, None,          Delivery),
    Row("GET",    "/api/openapi.json",          document,               None,          Document, key="open"),
)
# fmt: on


@cache
def _document() -> Document:
    return Document(openapi.build(TABLE))
