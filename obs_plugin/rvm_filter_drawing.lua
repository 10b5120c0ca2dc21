-- The filter's work on the GPU: fills and draws textures with rvm_filter.effect. A part of rvm_filter.lua, which loads
-- this file and declares the functions of C. Everything but free_later may only be called while the filter is drawn.

local C, GS = ... -- libobs; its constants
local ffi = require("ffi")
local bit = require("bit")

local vector, clear_color = ffi.new("rvm_vector"), ffi.new("rvm_vector")

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

local effect -- shared by all filters: param and technique by name; false if it cannot be loaded

local function load_effect(file)
  local failure = ffi.new("char *[1]")
  local object = C.gs_effect_create_from_file(file, failure)
  if object == nil then
    local reason = failure[0] ~= nil and ffi.string(failure[0]) or "the file is missing or cannot be read"
    print(string.format("RVM Matte cannot draw: OBS could not load %s: %s", file, reason))
    C.bfree(failure[0])
    effect = false
    return
  end
  effect = { object = object, param = {}, technique = {} }
  for _, name in ipairs({ "image", "matte", "correction", "blurred", "color", "scale", "offset", "texel", "sigma" }) do
    effect.param[name] = C.gs_effect_get_param_by_name(object, name)
  end
  for _, name in ipairs({
    "Copy", "Cut", "CutCorrected", "AlphaOnly", "Plain", "Behind", "Weigh", "Blur", "Unweigh",
  }) do
    effect.technique[name] = C.gs_effect_get_technique(object, name)
  end
end

-- Loads the effect on the first call. Returns whether there is one.
local function prepare(effect_file)
  if effect == nil then load_effect(effect_file) end
  return effect ~= false
end

local function free_effect()
  if effect then free_later("gs_effect_destroy", effect.object) end
  effect = nil
end

local function set_vector(name, x, y, z, w)
  vector.x, vector.y, vector.z, vector.w = x, y, z or 0, w or 0
  local set = z and C.gs_effect_set_vec4 or C.gs_effect_set_vec2
  set(effect.param[name], vector)
end

-- Draws a rectangle of width x height with a technique. in_light: `image` is converted from sRGB to linear light, and
-- the result back to sRGB; otherwise the values are used as they are.
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

-- Calls draw() with a cleared texture of width x height as the target. Returns the texture or nil.
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

-- Fills a texture of width x height with a technique. Returns the texture or nil.
local function fill_into(render, technique, image, width, height, in_light)
  return draw_into(render, width, height, function()
    C.gs_blend_function(GS.ONE, GS.ZERO)
    fill(technique, image, width, height, in_light)
  end)
end

-- Uploads the data to the texture, or to a new one if there is none or the size has changed. Returns the texture.
local function uploaded(texture, kind, data, width, height, old_width, old_height)
  if texture == nil or width ~= old_width or height ~= old_height then
    free_later("gs_texture_destroy", texture)
    texture = C.gs_texture_create(width, height, kind, 1, nil, GS.DYNAMIC)
  end
  if texture ~= nil then C.gs_texture_set_image(texture, data, kind == GS.R8 and width or 4 * width, false) end
  return texture
end

-- The blurred background of an entry, as a small texture: halved until about 270 rows are left, then blurred
-- horizontally and vertically.
local function blurred_background(d, picture, matted)
  if d.blurred_of == picture.number then return d.blurred end
  local width, height = math.ceil(d.width / 2), math.ceil(d.height / 2)
  local renders = d.renders
  for _, name in ipairs({ "a", "b" }) do renders[name] = renders[name] or C.gs_texrender_create(GS.RGBA16F, 0) end
  local from, to = renders.a, renders.b
  C.gs_effect_set_texture(effect.param.matte, matted.matte)
  local texture = fill_into(from, "Weigh", picture.texture, width, height, true)
  local function step(technique)
    texture = fill_into(to, technique, texture, width, height, false)
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
  local x, y = 1, 1 -- the visible part: everything in one direction, the middle in the other
  if wide * d.height > high * d.width then
    x = high * d.width / (wide * d.height)
  else
    y = wide * d.height / (high * d.width)
  end
  set_vector("scale", x, y)
  set_vector("offset", (1 - x) / 2, (1 - y) / 2)
  fill("Behind", d.image, d.width, d.height, true)
end

local function light(byte) -- sRGB to linear light
  local coded = byte / 255
  return coded <= 0.04045 and coded / 12.92 or ((coded + 0.055) / 1.055) ^ 2.4
end

-- Draws the filter's output: the picture of one entry of the ring with the matte of another or, without them, only the
-- new background.
local function draw(d, picture, matted)
  C.gs_blend_state_push()
  if d.output == "blur" and picture then
    local blurred = blurred_background(d, picture, matted)
    C.gs_blend_function(GS.ONE, GS.INV_SRC_ALPHA)
    if blurred ~= nil then
      C.gs_effect_set_texture(effect.param.blurred, blurred)
      fill("Unweigh", picture.texture, d.width, d.height, true)
    end
  end
  C.gs_blend_function(GS.ONE, GS.INV_SRC_ALPHA)
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

return {
  free_later = free_later, free_now = free_now, prepare = prepare, free_effect = free_effect, draw_into = draw_into,
  fill_into = fill_into, uploaded = uploaded, draw = draw,
}
