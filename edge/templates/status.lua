-- Gives a REST answer the HTTP status that its service chose with the metadata `x-http-status`: 202 for a
-- checkout that was accepted, 402 for a card that was declined. Listed before the transcoder, so it sees
-- answers after it. A script, because no native filter may write `:status`.
function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-http-status")
  if not status and tonumber(headers:get(":status")) >= 400 then
    -- A service that had sent headers before it failed says it in its trailers. They come after the body;
    -- waiting for them ends the life of `headers`.
    handle:body()
    local trailers = handle:trailers()
    status = trailers and trailers:get("x-http-status")
    local retry_after = trailers and trailers:get("retry-after")
    headers = handle:headers()
    if retry_after then
      headers:replace("retry-after", retry_after)
    end
  end
  if status and tonumber(status) then
    headers:replace(":status", status)
  end
end
