-- Gives a REST answer the HTTP status that its service chose with the metadata `x-http-status`: 202 for a
-- checkout that was accepted, 402 for a card that was declined. Listed before the transcoder, so it sees
-- answers after it. Envoy allows no native filter to write `:status`.
function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-http-status")
  if status then
    headers:remove("x-http-status")
  elseif tonumber(headers:get(":status")) >= 400 and headers:get("content-type") == "application/json" then
    -- A service that had already begun to answer when it failed says it at the end.
    handle:body()
    local trailers = handle:trailers()
    if trailers then
      status = trailers:get("x-http-status")
      local retry_after = trailers:get("retry-after")
      if retry_after then headers:replace("retry-after", retry_after) end
    end
  end
  if status and tonumber(status) then headers:replace(":status", status) end
end
