import type { Config } from './config';
import { Injectable, Inject } from '@angular/core';
import settings = require('./settings');
export * from './types';

/** What a service is called. */
export type Name<T extends string = string> = `svc:${T}`;

export interface Service<T = unknown> extends Disposable {
  readonly name: Name;
  start(config: Config): Promise<void>;
  [key: string]: any;
}

export const enum Level {
  Low = 1,
  High = Low << 2,
}

declare module 'express' {
  interface Request { user?: string }
}

declare global {
  var debug: boolean;
}

namespace Internal {
  export function hidden(): void {}
}

/**
 * Starts what it is given.
 */
@Injectable({ providedIn: 'root' })
export abstract class Runner<T> implements Service<T> {
  private static instance?: Runner<any>;
  readonly name = 'svc:runner' as const;
  #secret = 1;

  constructor(@Inject(TOKEN) private readonly config: Config, protected retries = 3) {
    super();
  }

  // Overloads share a name.
  start(config: Config): Promise<void>;
  start(config: Config, force?: boolean): Promise<void>;
  @Trace()
  async start(config: Config, force = false): Promise<void> {
    await this.run<T>(config!, <any>force);
  }

  protected abstract run<U>(config: Config, ...rest: unknown[]): U | undefined;

  get level(): Level {
    return Level.High satisfies Level;
  }
}

export function isService(value: unknown): value is Service {
  return typeof value === 'object' && value !== null && 'name' in value;
}

function overload(a: string): string;
function overload(a: any) { return a; }

export const make = <T,>(name: T): T => name;

type Keys = { [K in keyof Config as `get${K & string}`]?: () => Config[K] };

declare function external(name: string): void;
export default new Map<string, Service>();
