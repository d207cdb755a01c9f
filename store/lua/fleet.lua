-- What the scripts about fleets share. A fleet's template is a hash, the same on every shard; a member is an entry in one
-- of three zsets, and nothing else:
--   deadlines  slug -> deadline: those that are up
--   down       slug -> since: the silent; those of them that said so have their exit status, or 'fail', in causes
--   returning  slug -> since: they were silent when the fleet was paused; a walk puts them back into deadlines
--
-- A deadline's fraction says what stands behind it: none = a ping; .5 + n/16 = it was granted by the n-th excuse in a
-- row, or (n = 0) by an edit or a pause. So a member needs no record for its excuses.
--
-- FLEETS holds for each fleet a moment before which nothing is to be done for it. Only sweep_fleet.lua raises it; who
-- makes something due earlier lowers it (due_from). 0 = Redis' clock stepped back: clamp.lua leaves that to the sweep.
--
-- Nobody is silent before `not_before`, whatever his deadline: so an edit or a resume need not touch a million of them.
local AHEAD = 20        -- ms that an `at` may lie ahead, as in arrive.lua
local CLOCK_OFF = 1000  -- ms that a node's clock may be off, as in arrive.lua
local SILENCE = 'down'
local FIELDS = {'ping_key', 'project', 'status', 'period', 'grace', 'misses', 'room', 'edited', 'not_before', 'walk'}

-- The template, with the names of the zsets. Without a ping_key there is no such fleet (any more).
local function read_fleet(id)
  local f = {id = id, key = key('fleet', id)}
  local values = call('HMGET', f.key, unpack(FIELDS))
  for i, field in ipairs(FIELDS) do
    f[field] = i > 3 and tonumber(values[i]) or i <= 3 and values[i] or nil
  end
  for _, kind in ipairs({'deadlines', SILENCE, 'returning', 'causes'}) do f[kind] = f.key .. ':' .. kind end
  f.edited, f.not_before = f.edited or 0, f.not_before or 0
  return f
end
