/** Set-up is plain JavaScript: it runs before anything is installed. */
declare module "*.mjs";
