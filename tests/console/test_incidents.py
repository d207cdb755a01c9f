from store import deliveries, fleets, notifications
from store.database import Database
from store.deliveries import Lease
from tests.console.conftest import Api, member_signal, signal


async def test_an_incident_is_read_with_what_the_job_said_and_the_name_of_its_heartbeat(
    api: Api, store: Database
) -> None:
    made = await api.heartbeat("копия")
    await signal(store, made["id"], signal="fail", exit_status="137", output="нет места ".encode() + b"\xff")
    incident = (await api.get(f"/api/heartbeats/{made['id']}")).body["incident"]
    opened = (await api.get(f"/api/incidents/{incident}")).body

    assert opened["heartbeat"] == {"id": made["id"], "name": "копия"}
    assert (opened["status"], opened["cause"], opened["exit_status"]) == ("open", "failure", "137")
    assert opened["output"] == "нет места \ufffd"
    assert (opened["resolved_at"], opened["resolution"], opened["deliveries"]) == (None, None, [])

    await signal(store, made["id"])
    closed = (await api.get(f"/api/incidents/{incident}")).body
    assert (closed["status"], closed["resolution"]) == ("resolved", "ping")
    assert closed["resolved_at"] > closed["opened_at"]

    await api.delete(f"/api/heartbeats/{made['id']}")
    assert (await api.get(f"/api/incidents/{incident}")).body["heartbeat"]["name"] == "копия"
    await store.execute("UNLINK", store.shard(made["id"]).deleted(made["id"]))
    assert (await api.get(f"/api/incidents/{incident}")).body["heartbeat"]["name"] is None


async def test_an_incident_of_a_fleet_names_the_fleet_and_counts_its_silent_members(api: Api, store: Database) -> None:
    fleet, heartbeat = await api.fleet("датчики"), await api.heartbeat("backup")
    await signal(store, heartbeat["id"], signal="fail")
    for slug in ("one", "two"):
        await member_signal(store, fleet["id"], slug, signal="fail")
    await fleets.look(store, fleet["id"])
    of_fleet, of_heartbeat = (await api.get("/api/incidents")).body["incidents"]
    details = (await api.get(f"/api/incidents/{of_fleet['id']}")).body

    assert of_fleet["heartbeat"] is None
    assert of_fleet["fleet"] == {"id": fleet["id"], "name": "датчики"}
    assert (of_fleet["count"], of_fleet["most"], sorted(of_fleet["examples"])) == (2, 2, ["one", "two"])
    assert (of_fleet["status"], of_fleet["cause"]) == ("open", "failure")
    assert of_heartbeat["heartbeat"] == {"id": heartbeat["id"], "name": "backup"}
    assert (of_heartbeat["fleet"], of_heartbeat["count"], of_heartbeat["most"]) == (None, None, None)
    assert of_heartbeat["examples"] == []
    assert details == {**of_fleet, "deliveries": []}
    assert (await api.get(f"/api/fleets/{fleet['id']}")).body["incident"] == of_fleet["id"]


async def test_an_incident_of_a_deleted_fleet_is_still_listed(api: Api, store: Database) -> None:
    fleet = await api.fleet("sensors")
    await member_signal(store, fleet["id"], "one", signal="fail")
    await fleets.look(store, fleet["id"])
    await api.delete(f"/api/fleets/{fleet['id']}")
    await fleets.look(store, fleet["id"])
    (closed,) = (await api.get("/api/incidents?status=resolved")).body["incidents"]

    assert (closed["fleet"]["name"], closed["resolution"], closed["count"]) == ("sensors", "deleted", 0)
    await store.execute("UNLINK", store.shard(fleet["id"]).deleted(fleet["id"]))
    (closed,) = (await api.get("/api/incidents")).body["incidents"]
    assert closed["fleet"] == {"id": fleet["id"], "name": None}


async def test_a_void_incident_counts_as_resolved(api: Api, store: Database) -> None:
    made = await api.heartbeat()
    await signal(store, made["id"], signal="fail")
    incident = (await api.get(f"/api/heartbeats/{made['id']}")).body["incident"]
    await store.execute("HSET", store.shard(incident).incident(incident), "status", "void", "resolution", "ping")
    void = (await api.get(f"/api/incidents/{incident}")).body

    assert (void["status"], void["resolution"]) == ("resolved", "void")


async def test_pages_walk_open_incidents_first_and_then_resolved_ones(api: Api, store: Database) -> None:
    for number in range(7):
        made = await api.heartbeat(f"job {number}")
        await signal(store, made["id"], signal="fail")
        if number % 2:
            await signal(store, made["id"])
    seen: list[tuple[str, str]] = []
    params = {"limit": "2"}
    while True:
        page = (await api.get("/api/incidents", params=params)).body
        seen += [(incident["status"], incident["heartbeat"]["name"]) for incident in page["incidents"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert [status for status, _ in seen] == ["open"] * 4 + ["resolved"] * 3
    assert len(set(seen)) == 7
    assert len((await api.get("/api/incidents?status=open")).body["incidents"]) == 4
    resolved = (await api.get("/api/incidents?status=resolved&limit=2")).body
    assert len(resolved["incidents"]) == 2
    crossed = await api.get("/api/incidents", params={"status": "open", "cursor": resolved["next_cursor"]})
    assert (crossed.status, crossed.error["field"]) == (422, "cursor")


async def test_deliveries_stand_with_their_incident_and_dead_ones_in_a_list(api: Api, store: Database) -> None:
    channel = (await api.channel())["id"]
    made = await api.heartbeat()
    await signal(store, made["id"], signal="fail")
    incident = (await api.get(f"/api/heartbeats/{made['id']}")).body["incident"]
    shard = store.shard(incident)
    await notifications.enlist(store, shard, "", [(incident, channel)])
    assert (await api.get("/api/deliveries?status=dead")).body == {"deliveries": [], "next_cursor": None}

    lease: list[Lease] = await deliveries.lease(store, shard, channel, [incident], owner="me", lease_ms=1000)
    sending = (await api.get(f"/api/deliveries/{incident}:{channel}")).body
    await deliveries.outcome(
        store, shard, channel, lease, owner="me", result="dead", answer="HTTP 410", reason="client", latency_ms=12
    )
    dead = (await api.get("/api/deliveries?status=dead&limit=1")).body["deliveries"]

    assert (sending["status"], sending["attempts"]) == ("sending", 1)
    assert [(d["status"], d["answer"], d["reason"], d["latency_ms"]) for d in dead] == [
        ("dead", "HTTP 410", "client", 12)
    ]
    assert (await api.get(f"/api/incidents/{incident}")).body["deliveries"] == dead


async def test_what_is_no_id_of_ours_is_not_found(api: Api) -> None:
    for path in ("incidents/0123456789ab", "incidents/0123456789ab-1", "deliveries/x", "deliveries/0123456789ab-1:x"):
        assert (await api.get("/api/" + path)).status == 404
