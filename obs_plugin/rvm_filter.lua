-- The filter "RVM Matte", inside OBS. rvm_obs.py loads this file and hands it the shared memory (rvm_frame_protocol.py).
--
-- Once a video frame, when the filter is drawn: the source is drawn into a texture of the ring; the texture of the frame
-- before, which the graphics card has copied back meanwhile, goes into the shared memory; mattes that have come are
-- uploaded beside the texture of the picture they were made from. What is drawn is always such a pair.
--
-- Rules that keep OBS alive (each was a crash or a freeze):
-- - What may draw other sources, or come back to this file, is called through obslua, never through FFI.
-- - No graphics calls in create, destroy and update: what is to be freed is put on a list (`later`) and freed while drawing.
-- - get_width and get_height are there, since a Lua source without them is 0x0.
-- - Target and parent may be missing while a filter is being removed.

local obs = obslua
local ffi = require("ffi")
local bit = require("bit")
jit.off() -- an FFI call may end up in another filter of this file, which compiled code does not survive

local ID = "rvm_matte_filter"
local GAP = 1e9 -- ns without being drawn after which the last pictures are of the past
local LATE = 250e6 -- ns without a new matte after which the filter counts as late; longer for slow workers
local LONGEST_DELAY = 500e6 -- ns
local SETTLING = 5e9 -- ns in which the automatic delay looks for its value
local RING_LIMIT = 48 -- textures

-- libobs' constants that obslua does not name alike in all versions
local R8, RGBA, RGBA16F = 2, 3, 9
local DYNAMIC = 2
local ZERO, ONE, SRC_ALPHA, INV_SRC_ALPHA = 0, 1, 4, 5
local ASYNC_OR_CUSTOM_DRAW = 12

ffi.cdef([[
typedef struct { void *type; int own; void *pointer; } rvm_swig;
typedef struct { float x, y, z, w; } rvm_vector;
void *obs_filter_get_target(void *); void *obs_filter_get_parent(void *);
uint32_t obs_source_get_output_flags(void *); uint64_t obs_get_video_frame_time(void);
void *obs_data_create(void); void obs_data_addref(void *); void obs_data_release(void *);
void obs_enter_graphics(void); void obs_leave_graphics(void);
void *gs_texrender_create(int, int); void gs_texrender_destroy(void *); void gs_texrender_reset(void *);
bool gs_texrender_begin(void *, uint32_t, uint32_t); void gs_texrender_end(void *);
void *gs_texrender_get_texture(void *);
void *gs_stagesurface_create(uint32_t, uint32_t, int); void gs_stagesurface_destroy(void *);
void gs_stage_texture(void *, void *); bool gs_stagesurface_map(void *, uint8_t **, uint32_t *);
void gs_stagesurface_unmap(void *);
void *gs_texture_create(uint32_t, uint32_t, int, uint32_t, const uint8_t **, uint32_t);
void *gs_texture_create_from_file(const char *); void gs_texture_destroy(void *);
uint32_t gs_texture_get_width(void *); uint32_t gs_texture_get_height(void *);
void gs_texture_set_image(void *, const uint8_t *, uint32_t, bool);
void *gs_effect_create_from_file(const char *, char **); void gs_effect_destroy(void *); void bfree(void *);
void *gs_effect_get_param_by_name(void *, const char *); void *gs_effect_get_technique(void *, const char *);
void gs_effect_set_texture(void *, void *); void gs_effect_set_texture_srgb(void *, void *);
void gs_effect_set_float(void *, float); void gs_effect_set_vec2(void *, const void *);
void gs_effect_set_vec4(void *, const void *);
size_t gs_technique_begin(void *); bool gs_technique_begin_pass(void *, size_t);
void gs_technique_end_pass(void *); void gs_technique_end(void *);
void gs_draw_sprite(void *, uint32_t, uint32_t, uint32_t);
void gs_blend_state_push(void); void gs_blend_state_pop(void); void gs_blend_function(int, int);
void gs_blend_function_separate(int, int, int, int);
void gs_clear(uint32_t, const void *, float, uint8_t); void gs_ortho(float, float, float, float, float, float);
void gs_enable_framebuffer_srgb(bool); bool gs_framebuffer_srgb_enabled(void);
]])
local C = ffi.os == "Windows" and ffi.load("obs") or ffi.C

local P -- the protocol's numbers and the memory: slot_count, slot_bytes, page, buffers, ... , base, header
local owners = {} -- slot index -> the filter that has it
local last_number, last_instance, last_epoch = 0, 0, 0
local vector, clear_color = ffi.new("rvm_vector"), ffi.new("rvm_vector")
local mapped, linesize = ffi.new("uint8_t *[1]"), ffi.new("uint32_t[1]")

local function pointer(object) return ffi.cast("rvm_swig *", object).pointer end

-- Graphics objects -------------------------------------------------------------------------------------------------

local later = {} -- {name of the function that frees it, object}

local function free_later(destroy, object)
  if object ~= nil then later[#later + 1] = { destroy, object } end
end

local function free_now()
  for i = #later, 1, -1 do
    C[later[i][1]](later[i][2])
    later[i] = nil
  end
end

local effect -- of all filters: param and technique by name, or false if it cannot be had

local function load_effect()
  local failure = ffi.new("char *[1]")
  local object = C.gs_effect_create_from_file(P.effect_file, failure)
  if object == nil then
    print("RVM Matte cannot draw: " .. (failure[0] ~= nil and ffi.string(failure[0]) or P.effect_file))
    C.bfree(failure[0])
    effect = false
    return
  end
  effect = { object = object, param = {}, technique = {} }
  for _, name in ipairs({ "image", "matte", "correction", "blurred", "color", "scale", "offset", "texel", "sigma" }) do
    effect.param[name] = C.gs_effect_get_param_by_name(object, name)
  end
  for _, name in ipairs({ "Copy", "Cut", "CutCorrected", "AlphaOnly", "Plain", "Behind", "Weigh", "Blur", "Unweigh" }) do
    effect.technique[name] = C.gs_effect_get_technique(object, name)
  end
end

local function set_vector(name, x, y, z, w)
  vector.x, vector.y, vector.z, vector.w = x, y, z or 0, w or 0
  local set = z and C.gs_effect_set_vec4 or C.gs_effect_set_vec2
  set(effect.param[name], vector)
end

-- A rectangle of width x height filled by a technique. in_light: `image` is read, and the target written, as linear light
-- of sRGB numbers; otherwise the numbers go through as they are.
local function fill(technique, image, width, height, in_light)
  local before = C.gs_framebuffer_srgb_enabled()
  C.gs_enable_framebuffer_srgb(in_light)
  if image ~= nil then
    local set = in_light and technique ~= "CutCorrected" and C.gs_effect_set_texture_srgb or C.gs_effect_set_texture
    set(effect.param.image, image)
  end
  local object = effect.technique[technique]
  for pass = 0, tonumber(C.gs_technique_begin(object)) - 1 do
    if C.gs_technique_begin_pass(object, pass) then
      C.gs_draw_sprite(image, 0, width, height)
      C.gs_technique_end_pass(object)
    end
  end
  C.gs_technique_end(object)
  C.gs_enable_framebuffer_srgb(before)
end

-- Calls draw() with a cleared texture of width x height as the target; returns the texture or nil.
local function draw_into(render, width, height, draw)
  C.gs_texrender_reset(render)
  if not C.gs_texrender_begin(render, width, height) then return nil end
  C.gs_blend_state_push()
  C.gs_clear(1, clear_color, 0, 0)
  C.gs_ortho(0, width, 0, height, -100, 100)
  draw()
  C.gs_blend_state_pop()
  C.gs_texrender_end(render)
  local texture = C.gs_texrender_get_texture(render)
  return texture ~= nil and texture or nil
end

-- Shared memory ----------------------------------------------------------------------------------------------------

local fence = function() end -- Intel's and AMD's processors write in order
if jit.arch ~= "x64" and jit.arch ~= "x86" then
  local counted -- two counts in either direction: an atomic operation each
  fence = function()
    counted = counted or C.obs_data_create()
    C.obs_data_addref(counted)
    C.obs_data_release(counted)
    C.obs_data_addref(counted)
    C.obs_data_release(counted)
  end
end

local function write_text(d, text)
  local c = d.control
  if not c or #text > ffi.sizeof(c.settings) then return end
  local sequence = bit.bor(tonumber(c.settings_sequence), 1)
  c.settings_sequence = sequence
  fence()
  ffi.copy(c.settings, text, #text)
  c.settings_length = #text
  fence()
  c.settings_sequence = sequence + 1
end

local function give_slot_back(d)
  if not d.slot then return end
  d.control.instance = 0
  owners[d.slot] = nil
  d.slot, d.control = nil, nil
end

-- The first free slot, else that of a filter which has not been drawn for two seconds.
local function claim_slot(d, now)
  local index
  for i = 0, P.slot_count - 1 do
    local owner = owners[i]
    if not owner or now - owner.now > 2e9 then
      index = i
      if not owner then break end
    end
  end
  if not index then return false end
  if owners[index] then give_slot_back(owners[index]) end
  owners[index] = d
  local base = P.base + P.page + index * P.slot_bytes
  d.slot, d.control = index, ffi.cast("rvm_control *", base)
  d.pictures, d.mattes = {}, {}
  for i = 0, P.buffers - 1 do
    d.pictures[i] = base + P.page + i * (P.page + P.picture_capacity)
    d.mattes[i] = base + P.mattes_offset + i * (P.page + P.matte_capacity)
  end
  local c = d.control
  c.picture_count, c.matte_count, c.taken, c.work_ns, c.rate_milli = 0, 0, 0, 0, 0
  c.latency_ns, c.delay_ns, c.shown_frames, c.late_frames, c.shown = 0, 0, 0, 0, P.WAITING
  local name = obs.obs_source_get_name(obs.obs_filter_get_parent(d.source)) or ""
  ffi.fill(c.name, ffi.sizeof(c.name))
  ffi.copy(c.name, name, math.min(#name, ffi.sizeof(c.name) - 1))
  last_instance = last_instance + 1
  d.instance, d.seen, d.work = last_instance, 0, 0
  write_text(d, d.worker_settings)
  fence()
  c.instance = d.instance
  return true
end

local function publish(d, entry, data, row_bytes)
  local c, width, height = d.control, d.sent_width, d.sent_height
  local count = tonumber(c.picture_count) + 1
  local block = d.pictures[count % P.buffers]
  local h, payload = ffi.cast("rvm_picture *", block), block + P.page
  h.sequence = 2 * count - 1
  h.writer = d.instance
  fence()
  h.number, h.time_ns, h.epoch, h.width, h.height = entry.number, entry.time, d.epoch, width, height
  if row_bytes * height <= P.picture_capacity then
    h.linesize = row_bytes
    ffi.copy(payload, data, row_bytes * height)
  else
    h.linesize = 4 * width
    for y = 0, height - 1 do ffi.copy(payload + y * 4 * width, data + y * row_bytes, 4 * width) end
  end
  fence()
  h.sequence = 2 * count
  fence()
  c.picture_count = count
  entry.count = count
end

-- The ring ---------------------------------------------------------------------------------------------------------
-- An entry: render and its texture, number, time; count once it is published; matted once its matte is in `matte` (and
-- its correction in `correction`, if it has one).

local function forget_pairs(d)
  for _, entry in ipairs(d.ring) do entry.matted, entry.number, entry.count = false, 0, nil end
  d.shown, d.waiting_stage, d.newest, d.blurred_of = nil, nil, nil, nil
  d.renewed, d.interval, d.delays = nil, 0, {}
  last_epoch = last_epoch + 1
  d.epoch = last_epoch
end

local function free_ring(d)
  for _, entry in ipairs(d.ring) do
    free_later("gs_texrender_destroy", entry.render)
    free_later("gs_texture_destroy", entry.matte)
    free_later("gs_texture_destroy", entry.correction)
  end
  for _, stage in ipairs(d.stages) do free_later("gs_stagesurface_destroy", stage) end
  for _, render in pairs(d.renders) do free_later("gs_texrender_destroy", render) end
  d.ring, d.stages, d.renders = {}, {}, {}
  forget_pairs(d)
end

local function resize(d, width, height)
  free_ring(d)
  d.width, d.height = width, height
  d.sent_width, d.sent_height = width, height
  if width * height > P.max_pixels then
    local factor = math.sqrt(P.max_pixels / (width * height))
    d.sent_width, d.sent_height = math.max(1, math.floor(width * factor)), math.max(1, math.floor(height * factor))
    d.renders.sent = C.gs_texrender_create(RGBA, 0)
  end
  for i = 1, 2 do d.stages[i] = C.gs_stagesurface_create(d.sent_width, d.sent_height, RGBA) end
  d.delay, d.started, d.mattes_seen = 0, nil, 0
end

-- Whether nobody will ask for this entry again: not shown, not on its way to the worker, not at the worker, and, with a
-- matte, not waiting for its turn.
local function is_spent(d, entry)
  if entry == d.shown or entry == d.waiting_stage then return false end
  if entry.number == 0 then return true end
  if entry.matted then return d.shown ~= nil and entry.time < d.shown.time end
  if entry.number == tonumber(d.control.taken) then return false end
  return entry.count == nil or entry.count + P.buffers <= tonumber(d.control.picture_count)
end

local function next_entry(d)
  local oldest
  for _, entry in ipairs(d.ring) do
    if is_spent(d, entry) then return entry end
    if entry ~= d.shown and entry ~= d.waiting_stage and (not oldest or entry.number < oldest.number) then
      oldest = entry
    end
  end
  if #d.ring >= RING_LIMIT then return oldest end
  local entry = { render = C.gs_texrender_create(RGBA, 0), number = 0, matted = false }
  d.ring[#d.ring + 1] = entry
  return entry
end

local function capture(d, target, parent)
  local entry = next_entry(d)
  last_number = last_number + 1
  entry.number, entry.time, entry.count, entry.matted, entry.corrected = last_number, d.now, nil, false, false
  local plain = target == parent and bit.band(C.obs_source_get_output_flags(parent), ASYNC_OR_CUSTOM_DRAW) == 0
  entry.texture = draw_into(entry.render, d.width, d.height, function()
    C.gs_blend_function_separate(SRC_ALPHA, INV_SRC_ALPHA, ONE, INV_SRC_ALPHA)
    local source = obs.obs_filter_get_target(d.source)
    if plain then obs.obs_source_default_render(source) else obs.obs_source_video_render(source) end
  end)
  if entry.texture == nil then entry.number = 0 return nil end
  return entry
end

-- Has the graphics card copy the entry's picture; the one of the call before has arrived and is published.
local function hand_over(d, entry)
  local before, stage = d.waiting_stage, d.stage_index or 1
  local texture = entry and entry.texture
  if texture and d.renders.sent then
    texture = draw_into(d.renders.sent, d.sent_width, d.sent_height, function()
      C.gs_blend_function(ONE, ZERO)
      fill("Copy", entry.texture, d.sent_width, d.sent_height, false)
    end)
  end
  if texture then C.gs_stage_texture(d.stages[3 - stage], texture) end
  if before and C.gs_stagesurface_map(d.stages[stage], mapped, linesize) then
    publish(d, before, mapped[0], linesize[0])
    C.gs_stagesurface_unmap(d.stages[stage])
  end
  d.waiting_stage = texture and entry or nil
  d.stage_index = 3 - stage
end

local function uploaded(texture, kind, data, width, height, old_width, old_height)
  if texture == nil or width ~= old_width or height ~= old_height then
    free_later("gs_texture_destroy", texture)
    texture = C.gs_texture_create(width, height, kind, 1, nil, DYNAMIC)
  end
  if texture ~= nil then C.gs_texture_set_image(texture, data, kind == R8 and width or 4 * width, false) end
  return texture
end

-- Uploads the matte in a block to its picture's entry, and returns the entry if both are still there.
local function receive(d, block, count)
  local h = ffi.cast("rvm_matte *", block)
  fence()
  if tonumber(h.sequence) ~= 2 * count or tonumber(h.instance) ~= d.instance then return nil end
  local number, width, height = tonumber(h.number), tonumber(h.width), tonumber(h.height)
  local wide, high = tonumber(h.correction_width), tonumber(h.correction_height)
  if width < 1 or height < 1 or math.max(width, height, wide, high) > P.max_side then return nil end
  if width * height > P.max_pixels or 4 * wide * high > P.correction_capacity then return nil end
  local entry
  for _, candidate in ipairs(d.ring) do
    if candidate.number == number and number > 0 then entry = candidate end
  end
  if not entry or entry.matted then return nil end
  local payload = block + P.page
  entry.matte = uploaded(entry.matte, R8, payload, width, height, entry.matte_width, entry.matte_height)
  entry.matte_width, entry.matte_height = width, height
  entry.corrected = wide > 0 and high > 0
  if entry.corrected then
    local data = payload + P.correction_offset
    entry.correction = uploaded(entry.correction, RGBA, data, wide, high, entry.wide, entry.high)
    entry.wide, entry.high = wide, high
  end
  fence()
  entry.matted = tonumber(h.sequence) == 2 * count and entry.matte ~= nil
  return entry.matted and entry or nil
end

-- The delay --------------------------------------------------------------------------------------------------------

-- The automatic delay: the longest that a matte took lately. It follows in the first seconds, then only grows, and only
-- if more than one matte in twenty comes too late: sound is set to it by hand.
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

-- Every how many-th frame the worker gets, so that a slow one has an even rhythm: looked at every two seconds. Trying
-- a higher rate again costs a stutter where it fails, so each failure doubles the time until the next try.
local function adapt_skip(d)
  if d.skip ~= "auto" then d.every = tonumber(d.skip) or 1 return end
  if not d.trial then d.every, d.tried, d.trial = d.every or 1, 4e9, { since = d.now, frames = 0, handed = 0, came = 0 } end
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

-- Once a video frame.
local function tick(d, target, parent, width, height, now)
  local before = d.now
  d.now = now
  if width ~= d.width or height ~= d.height then
    resize(d, width, height)
  elseif now - before > GAP or now < before then
    forget_pairs(d)
  end
  if not d.slot and not claim_slot(d, now) then return end
  local c = d.control
  c.width, c.height = width, height
  d.work = tonumber(c.work_ns)
  adapt_skip(d)
  d.frames = d.frames + 1
  local state = tonumber(P.header.worker_state)
  local due = (state == P.STARTING or state == P.READY) and d.frames % d.every == 0
  local trial = d.trial
  if trial then
    trial.frames = trial.frames + 1
    if due and d.renewed and state == P.READY then trial.handed = trial.handed + 1 end
  end
  local entry
  if due or d.sync == "newest" then entry = capture(d, target, parent) end
  d.newest = entry or d.newest
  hand_over(d, due and entry or nil)
  local count = tonumber(c.matte_count)
  for i = math.max(d.seen + 1, count - P.buffers + 1), count do
    local received = receive(d, d.mattes[i % P.buffers], i)
    if received then
      d.started = d.started or now
      if trial and d.renewed then trial.came = trial.came + 1 end
      adapt_delay(d, now - received.time)
    end
  end
  d.seen = count
  choose(d)
  c.latency_ns = d.latency or 0
end

-- Drawing ----------------------------------------------------------------------------------------------------------

-- What is to be seen now: a state of the protocol, the picture's entry and the matte's.
local function scene_now(d)
  if not d.slot or not effect then return d.late == "raw" and P.RAW or P.HIDDEN end
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

-- The background of an entry, blurred, as a small texture: halved until about 270 rows are left, then blurred both ways.
local function blurred_background(d, picture, matted)
  if d.blurred_of == picture.number then return d.blurred end
  local width, height = math.ceil(d.width / 2), math.ceil(d.height / 2)
  local renders = d.renders
  for _, name in ipairs({ "a", "b" }) do renders[name] = renders[name] or C.gs_texrender_create(RGBA16F, 0) end
  local from, to = renders.a, renders.b
  C.gs_effect_set_texture(effect.param.matte, matted.matte)
  local texture = draw_into(from, width, height, function()
    C.gs_blend_function(ONE, ZERO)
    fill("Weigh", picture.texture, width, height, true)
  end)
  local function step(technique)
    texture = draw_into(to, width, height, function()
      C.gs_blend_function(ONE, ZERO)
      fill(technique, texture, width, height, false)
    end)
    from, to = to, from
  end
  while math.min(width, height) > 400 do
    width, height = math.ceil(width / 2), math.ceil(height / 2)
    step("Copy")
  end
  C.gs_effect_set_float(effect.param.sigma, math.max(0.3, d.blur / 100 * 8 * math.min(width, height) / 270))
  set_vector("texel", 1 / width, 0)
  step("Blur")
  set_vector("texel", 0, 1 / height)
  step("Blur")
  d.blurred_of, d.blurred = picture.number, texture
  return texture
end

local function draw_behind(d)
  if d.image_file ~= d.image_loaded then
    free_later("gs_texture_destroy", d.image)
    d.image = d.image_file ~= "" and C.gs_texture_create_from_file(d.image_file) or nil
    d.image_loaded = d.image_file
  end
  if d.image == nil then return end
  local wide, high = C.gs_texture_get_width(d.image), C.gs_texture_get_height(d.image)
  local x, y = 1, 1 -- the part of it that is seen: all of it one way, the middle the other way
  if wide * d.height > high * d.width then x = high * d.width / (wide * d.height) else y = wide * d.height / (high * d.width) end
  set_vector("scale", x, y)
  set_vector("offset", (1 - x) / 2, (1 - y) / 2)
  fill("Behind", d.image, d.width, d.height, true)
end

local function light(byte) -- sRGB to linear light
  local coded = byte / 255
  return coded <= 0.04045 and coded / 12.92 or ((coded + 0.055) / 1.055) ^ 2.4
end

local function draw(d, picture, matted)
  C.gs_blend_state_push()
  if d.output == "blur" and picture then
    local blurred = blurred_background(d, picture, matted)
    C.gs_blend_function(ONE, INV_SRC_ALPHA)
    if blurred ~= nil then
      C.gs_effect_set_texture(effect.param.blurred, blurred)
      fill("Unweigh", picture.texture, d.width, d.height, true)
    end
  end
  C.gs_blend_function(ONE, INV_SRC_ALPHA)
  if d.output == "color_key" or (d.output == "alpha" and not picture) then
    local key = d.output == "alpha" and 0 or d.key_color
    local red, green, blue = bit.band(key, 255), bit.band(bit.rshift(key, 8), 255), bit.band(bit.rshift(key, 16), 255)
    set_vector("color", light(red), light(green), light(blue), 1)
    fill("Plain", nil, d.width, d.height, true)
  elseif d.output == "image" then
    draw_behind(d)
  end
  if picture then
    C.gs_effect_set_texture(effect.param.matte, matted.matte)
    local technique = d.output == "alpha" and "AlphaOnly" or "Cut"
    if technique == "Cut" and matted.corrected and picture == matted then
      C.gs_effect_set_texture(effect.param.correction, matted.correction)
      technique = "CutCorrected"
    end
    fill(technique, picture.texture, d.width, d.height, true)
  end
  C.gs_blend_state_pop()
end

local function video_render(d)
  free_now()
  local source = pointer(d.source)
  local target, parent = C.obs_filter_get_target(source), C.obs_filter_get_parent(source)
  if target == nil or parent == nil then return end
  if effect == nil then load_effect() end
  local object = obs.obs_filter_get_target(d.source)
  local width, height = obs.obs_source_get_base_width(object), obs.obs_source_get_base_height(object)
  if width == 0 or height == 0 then return end
  local now = tonumber(C.obs_get_video_frame_time())
  local is_new = now ~= d.now
  if is_new then tick(d, target, parent, width, height, now) end
  local shown, picture, matted = scene_now(d)
  if is_new and d.control then
    local c = d.control
    c.shown = shown
    if d.sync == "steady" then c.delay_ns = steady_delay(d) elseif picture then c.delay_ns = now - picture.time end
    if shown == P.LIVE then
      c.shown_frames = c.shown_frames + 1
    elseif d.renewed then
      c.late_frames = c.late_frames + 1
    end
  end
  if shown == P.RAW then
    obs.obs_source_skip_video_filter(d.source)
  elseif effect then
    draw(d, picture, matted)
  end
end

-- Settings ---------------------------------------------------------------------------------------------------------

local DEFAULTS = {
  model = "mobilenetv3", downsample = "auto", output = "transparent", key_color = 0xFF00FF00, blur = 50,
  image_file = "", edge_shift = 0.0, edge_feather = 0.0, decontaminate = 50, sync = "steady", fixed_delay = 0,
  skip = "auto", late = "freeze", freeze = 1000, scene_cuts = true,
}
local FLOATS = { edge_shift = true, edge_feather = true }

local function get_defaults(settings)
  for name, value in pairs(DEFAULTS) do
    if FLOATS[name] then obs.obs_data_set_default_double(settings, name, value)
    elseif type(value) == "string" then obs.obs_data_set_default_string(settings, name, value)
    elseif type(value) == "boolean" then obs.obs_data_set_default_bool(settings, name, value)
    else obs.obs_data_set_default_int(settings, name, value) end
  end
end

local function read_settings(d, settings)
  for name, value in pairs(DEFAULTS) do
    if FLOATS[name] then d[name] = obs.obs_data_get_double(settings, name)
    elseif type(value) == "string" then d[name] = obs.obs_data_get_string(settings, name)
    elseif type(value) == "boolean" then d[name] = obs.obs_data_get_bool(settings, name)
    else d[name] = obs.obs_data_get_int(settings, name) end
  end
  d.fixed_delay, d.freeze = d.fixed_delay * 1e6, d.freeze * 1e6
  d.blurred_of, d.trial = nil, nil
  local for_worker = obs.obs_data_create()
  obs.obs_data_set_string(for_worker, "model", d.model)
  obs.obs_data_set_string(for_worker, "downsample", d.downsample)
  obs.obs_data_set_double(for_worker, "edge_shift", d.edge_shift)
  obs.obs_data_set_double(for_worker, "edge_feather", d.edge_feather)
  -- only the transparent and composed outputs show the foreground's colours
  obs.obs_data_set_double(for_worker, "decontaminate", d.output == "alpha" and 0 or d.decontaminate / 100)
  obs.obs_data_set_bool(for_worker, "scene_cuts", d.scene_cuts)
  local text = obs.obs_data_get_json(for_worker)
  obs.obs_data_release(for_worker)
  if text ~= d.worker_settings then
    d.worker_settings, d.started, d.mattes_seen = text, nil, 0
    write_text(d, text)
  end
end

local function add_list(group, name, label, tip, choices)
  local list = obs.obs_properties_add_list(
    group, name, label, obs.OBS_COMBO_TYPE_LIST, obs.OBS_COMBO_FORMAT_STRING)
  for _, choice in ipairs(choices) do obs.obs_property_list_add_string(list, choice[1], choice[2]) end
  obs.obs_property_set_long_description(list, tip)
  return list
end

local function show_what_applies(properties, _, settings)
  local output, sync = obs.obs_data_get_string(settings, "output"), obs.obs_data_get_string(settings, "sync")
  local function show(name, visible)
    obs.obs_property_set_visible(obs.obs_properties_get(properties, name), visible)
  end
  show("key_color", output == "color_key")
  show("blur", output == "blur")
  show("image_file", output == "image")
  show("decontaminate", output ~= "alpha")
  show("fixed_delay", sync == "steady")
  show("freeze", obs.obs_data_get_string(settings, "late") == "freeze")
  return true
end

local function status_text(d)
  local state = P and tonumber(P.header.worker_state)
  if not d or not d.control then
    return d and d.now > 0 and "All places are taken: OBS mattes " .. P.slot_count .. " sources at most." or "Not shown yet."
  end
  if state ~= P.READY then return "The worker is not ready: see Tools > Scripts > rvm_obs.py." end
  local delay = tonumber(d.control.delay_ns) / 1e6
  return string.format("Delay %.0f ms: give the sound of this camera the same (Edit > Advanced Audio Properties > Sync"
    .. " Offset). %.1f mattes a second.", delay, tonumber(d.control.rate_milli) / 1000)
end

local function get_properties(d)
  local all = obs.obs_properties_create()
  local function group(name, label)
    local properties = obs.obs_properties_create()
    obs.obs_properties_add_group(all, name, label, obs.OBS_GROUP_NORMAL, properties)
    return properties
  end
  local function tip(property, text) obs.obs_property_set_long_description(property, text) return property end

  obs.obs_properties_add_text(all, "status", status_text(d), obs.OBS_TEXT_INFO)

  local g = group("picture", "Picture")
  local output = add_list(g, "output", "Show", "What stands where the background was.", {
    { "Nothing: transparent", "transparent" }, { "One colour", "color_key" }, { "The background, blurred", "blur" },
    { "An image", "image" }, { "Only the matte, in grey", "alpha" } })
  tip(obs.obs_properties_add_color(g, "key_color", "Colour"), "For a colour key further on, or as a plain background.")
  tip(obs.obs_properties_add_int_slider(g, "blur", "Blur", 1, 100, 1), "How much of the room can still be made out.")
  tip(obs.obs_properties_add_path(g, "image_file", "Image", obs.OBS_PATH_FILE,
    "Images (*.png *.jpg *.jpeg *.bmp *.tga *.gif *.webp)", nil), "Fills the picture; what is too wide or too high is cut.")

  g = group("edge", "Edge")
  tip(obs.obs_properties_add_float_slider(g, "edge_shift", "Shift (pixels)", -10, 10, 0.5),
    "Outwards above 0, inwards below: inwards hides a rest of the background.")
  tip(obs.obs_properties_add_float_slider(g, "edge_feather", "Feather (pixels)", 0, 20, 0.5), "Softens the edge.")
  tip(obs.obs_properties_add_int_slider(g, "decontaminate", "Clean colours (%)", 0, 100, 5),
    "Takes the old background's colour out of soft edges such as hair. 0 is fastest.")

  g = group("network", "Network")
  add_list(g, "model", "Model", "ResNet50 is finer and needs a strong graphics card.",
    { { "MobileNetV3: fast", "mobilenetv3" }, { "ResNet50: finer, slow", "resnet50" } })
  add_list(g, "downsample", "Person in the picture", "How closely the network looks.", {
    { "Automatic", "auto" }, { "Head and shoulders", "portrait" }, { "Whole body", "full_body" } })
  tip(obs.obs_properties_add_bool(g, "scene_cuts", "Start afresh at a cut"),
    "For films: what was seen before a cut is forgotten. A camera that stands still can do without.")

  g = group("timing", "Timing")
  local sync = add_list(g, "sync", "Picture and matte",
    "A matte takes time. In step, the picture waits for its own matte, and the delay stays the same, so that sound can be"
    .. " delayed by as much. Without waiting, the edge lags behind movements and shows slivers of the room.", {
    { "In step, steady delay", "steady" }, { "In step, as soon as possible", "soon" },
    { "Lowest latency: do not wait for the matte", "newest" } })
  tip(obs.obs_properties_add_int(g, "fixed_delay", "Delay (ms, 0: automatic)", 0, 500, 1),
    "The delay that is kept. Automatic finds the shortest one that suffices.")
  add_list(g, "skip", "Frames", "A worker that cannot keep up gets every second or third frame: an even rhythm.", {
    { "Skip evenly under load", "auto" }, { "All that the worker manages", "1" }, { "Every second", "2" },
    { "Every third", "3" } })

  g = group("safety", "When no matte comes")
  local late = add_list(g, "late", "Then", "If the worker is late, stopped or not yet started.", {
    { "Freeze, then hide", "freeze" }, { "Hide", "hide" }, { "Show the whole picture, room and all", "raw" } })
  tip(obs.obs_properties_add_int(g, "freeze", "Freeze for (ms)", 0, 10000, 100), "How long the last picture stays.")

  for _, property in ipairs({ output, sync, late }) do
    obs.obs_property_set_modified_callback(property, show_what_applies)
  end
  return all
end

-- Registration -----------------------------------------------------------------------------------------------------

local function create(settings, source)
  local d = { source = source, ring = {}, stages = {}, renders = {}, now = 0, width = 0, height = 0, delay = 0, frames = 0,
    every = 1 }
  forget_pairs(d)
  read_settings(d, settings)
  return d
end

local function destroy(d)
  give_slot_back(d)
  free_ring(d)
  free_later("gs_texture_destroy", d.image)
  d.image = nil
end

local function target_size(measure)
  return function(d)
    local target = obs.obs_filter_get_target(d.source)
    return target and measure(target) or 0
  end
end

function script_description() return "Part of rvm_obs.py: add that file instead." end

function script_load(settings)
  local address = obs.obs_data_get_string(settings, "address")
  if address == "" then
    print("This file is a part of rvm_obs.py: remove it and add rvm_obs.py.")
    return
  end
  ffi.cdef(obs.obs_data_get_string(settings, "layout"))
  P = { base = ffi.cast("uint8_t *", ffi.cast("uintptr_t", tonumber(address))) }
  P.effect_file = script_path() .. "rvm_filter.effect"
  for name in obs.obs_data_get_string(settings, "names"):gmatch("%S+") do P[name] = obs.obs_data_get_int(settings, name) end
  P.header = ffi.cast("rvm_header *", P.base)
  obs.obs_register_source({
    id = ID, type = obs.OBS_SOURCE_TYPE_FILTER, output_flags = bit.bor(obs.OBS_SOURCE_VIDEO, 0x8000), -- OBS_SOURCE_SRGB
    get_name = function() return "RVM Matte" end,
    create = create, destroy = destroy, update = read_settings, video_render = video_render,
    get_width = target_size(obs.obs_source_get_base_width), get_height = target_size(obs.obs_source_get_base_height),
    get_defaults = get_defaults, get_properties = get_properties,
  })
end

function script_unload()
  if effect then free_later("gs_effect_destroy", effect.object) end
  effect = nil
  C.obs_enter_graphics()
  free_now()
  C.obs_leave_graphics()
end
