/** The library as the server hands it out beside this page's own modules. */
export { default } from "uplot"
