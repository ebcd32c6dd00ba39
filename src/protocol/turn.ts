/** more hellos than a worker says in one life; smaller turns are of builds that count from 1 in every life */
const hellosPerLife = 2 ** 20;

/** The turn of a worker's n-th hello in a life: it rises from hello to hello and from life to life. */
export function turnOf(life: number, hello: number): number {
  return life * hellosPerLife + hello;
}

/** Whether hellos of two lives of a worker can be told apart by their turns, so that the earlier one is known. */
export function orderLives(a: number, b: number): boolean {
  return a >= hellosPerLife && b >= hellosPerLife;
}
