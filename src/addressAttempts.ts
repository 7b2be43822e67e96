import { setDefaultAutoSelectFamilyAttemptTimeout } from "node:net"

/**
 * How long one address of a name can take to answer before the next one is tried, milliseconds. Node tries them one after the
 * other and gives each but the last 250 ms, less than a handshake takes on a link of 160 ms one way: where an address without a
 * route came last, no connection to such a name ever succeeded. The value leaves room for a first packet that is sent again after
 * 1 s, and for another address within the limits of all connections (WebSockets 10 s, S3 5 s, lists of instruments 30 s).
 */
export const addressAttemptMillis = 2400

/* Applies to all connections of this thread, whichever module makes them: modules that connect import this file. */
setDefaultAutoSelectFamilyAttemptTimeout(addressAttemptMillis)
