/** The version of the command and of all that it brings. */
export const PRODUCT_VERSION = '0.1.0';
