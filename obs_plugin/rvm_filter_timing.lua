-- Decides which pair of picture and matte is shown when, and which frames the worker gets. A part of rvm_filter.lua,
-- which loads this file. All times are in ns. It calls no function of OBS.

local P = ... -- the protocol's constants

local LATE = 250e6 -- time without a new matte after which the filter counts as late; longer for slow workers
local LONGEST_DELAY = 500e6
local SETTLING = 5e9 -- time in which the automatic delay finds its value

-- The automatic delay: the longest time that a recent matte took. It adapts in the first seconds. After that it only
-- grows, and only if more than one matte in twenty is late, because users set the delay of the audio to it by hand.
local function adapt_delay(d, latency)
  local delays = d.delays
  delays[#delays + 1] = latency
  if #delays > 45 then table.remove(delays, 1) end
  d.mattes_seen = d.mattes_seen + 1
  d.latency = d.latency and d.latency + 0.1 * (latency - d.latency) or latency
  local settling = d.now - d.started < SETTLING or d.mattes_seen < 60
  local sorted = { unpack(delays) }
  table.sort(sorted)
  local usual = sorted[math.ceil(0.97 * #sorted)]
  local late = 0
  for _, one in ipairs(delays) do if one > d.delay + 1e6 then late = late + 1 end end
  if settling and #delays >= 10 or not settling and late > 0.05 * #delays then
    d.delay = math.min(usual, LONGEST_DELAY)
  end
end

-- Sets d.every: the worker gets every d.every-th frame, so that a slow worker has an even rhythm. Adapted every two
-- seconds. Trying a higher rate causes a stutter if it fails, so each failure doubles the time until the next try.
local function adapt_skip(d)
  if d.skip ~= "auto" then d.every = tonumber(d.skip) or 1 return end
  if not d.trial then
    d.tried, d.slowed, d.trial = 4e9, d.now, { since = d.now, frames = 0, handed = 0, came = 0 }
  end
  local trial = d.trial
  local span = d.now - trial.since
  if span < 2e9 then return end
  local interval = span / math.max(trial.frames, 1)
  if trial.handed > 10 and trial.came < 0.9 * trial.handed and d.every < 8 then
    d.every = d.every + 1
    d.tried = math.min(2 * d.tried, 120e9)
    d.slowed = d.now
  elseif d.every > 1 and d.work < 0.8 * interval * (d.every - 1) and d.now - d.slowed > d.tried then
    d.every = d.every - 1
  end
  d.trial = { since = d.now, frames = 0, handed = 0, came = 0 }
end

local function steady_delay(d) return d.fixed_delay > 0 and d.fixed_delay or d.delay end

-- Chooses the pair to show.
local function choose(d)
  local limit = d.now
  if d.sync == "steady" then limit = d.now - steady_delay(d) + 1e6 end
  local best = d.shown
  for _, entry in ipairs(d.ring) do
    if entry.matted and entry.time <= limit and (not best or entry.time > best.time) then best = entry end
  end
  if best ~= d.shown then
    if d.renewed then d.interval = d.interval + 0.1 * (d.now - d.renewed - d.interval) end
    d.shown, d.renewed = best, d.now
  end
end

-- What is shown now: a state of the protocol, the entry of the picture and that of the matte.
local function scene_now(d, can_draw)
  if not d.slot or not can_draw then return d.late == "raw" and P.RAW or P.HIDDEN end
  if not d.shown then return d.late == "raw" and P.RAW or P.WAITING end
  local since, patience = d.now - d.renewed, math.max(LATE, 3 * d.interval)
  if since <= patience then
    if d.sync == "newest" and d.newest then return P.LIVE, d.newest, d.shown end
    return P.LIVE, d.shown, d.shown
  end
  if d.late == "raw" then return P.RAW end
  if d.late == "freeze" and since <= math.max(d.freeze, patience) then return P.FROZEN, d.shown, d.shown end
  return P.HIDDEN
end

return {
  adapt_delay = adapt_delay, adapt_skip = adapt_skip, steady_delay = steady_delay, choose = choose,
  scene_now = scene_now,
}
