/** A request for a part of an exchange's list: GET with this path and query, or POST with a JSON body. */
export type ListRequest = string | { readonly path: string; readonly body: string }
