/** What was read or rendered and is only looked at, all the way down. */
export type DeepReadonly<T> = { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
