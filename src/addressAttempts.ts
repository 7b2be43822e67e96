import { setDefaultAutoSelectFamilyAttemptTimeout } from "node:net"

/**
 * How long one address of a name may take to answer before the next one is tried, milliseconds. Node tries them one after
 * the other and gives each but the last 250 ms, less than a handshake takes on a link of 160 ms one way: where an address
 * without a route came last, such a name was never connected to. It leaves room for a first packet that is sent again after
 * 1 s, and for another address within the limits of all who connect (WebSockets 10 s, S3 5 s, lists of instruments 30 s).
 */
export const addressAttemptMillis = 2400

/* For all connections of this thread, whoever makes them: whoever does imports this file. */
setDefaultAutoSelectFamilyAttemptTimeout(addressAttemptMillis)
