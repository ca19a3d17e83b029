#!/usr/bin/env node
'use strict';

import React, { useState as state } from 'react';
import * as money from './money.js';
import '../styles/cart.css';
export { format } from "./format";
const fs = require('node:fs');

/** Most items in a cart. */
export const LIMIT = 99;
let count = 0, listeners = [];

/**
 * A cart.
 * @extends Base
 */
export default class Cart extends mixin(Base) {
  #items = [];
  static defaults = { currency: 'EUR' };

  constructor(options = {}) {
    super();
    Object.assign(this, Cart.defaults, options);
  }

  get total() {
    return this.#items.reduce((sum, { price }) => sum + price, 0);
  }

  // Adds an item.
  async add(item, { quantity = 1, ...rest } = {}) {
    await this.validate?.(item);
    this.#items.push({ ...item, quantity, ...rest });
  }

  *[Symbol.iterator]() {
    yield* this.#items;
  }

  static #check() {}

  handler = (event) => this.add(event.target);
}

// An arrow with a body.
const debounce = (wait, run) => {
  let timer;
  return function later(...args) {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), wait);
  };
};

export async function* pages(url) {
  for await (const page of fetchAll(url)) yield page;
}

function Row({ item }) {
  const pattern = /function no\(\) \{/g;
  return <li className="row" onClick={() => remove(item)}>{`${item.name} {`}</li>;
}

module.exports = { Cart, old: function () {} };
module.exports.legacy = function legacy(name) { return name; };
Cart.prototype.empty = function () { this.items = []; };

var api = {
  fetch(id) { return fs.readFileSync(id); },
  save: async (id) => {},
};

(function iife() { count++; })();
